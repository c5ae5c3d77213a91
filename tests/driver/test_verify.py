"""`model verify` passes sound models and finds what is wrong with others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support import ROOT, DriverEnvironment
from tests.support.graph_models import FailsWithoutEdges, write_graph_model
from tests.support.torch_models import (
    FailsWithoutPairs,
    Springs,
    SpringsSingle,
    SpringsTotal,
    SpringsWithForces,
    write_model,
)
from torchml_installer.errors import RunFailedError, UnphysicalModelError


class Smooth(Springs):
    """Springs that vanish at the cutoff, of 4 Å."""

    def energies(
        self,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        delta = coords.index_select(0, nlist.long()) - coords.index_select(0, owner)
        r = (delta * delta).sum(1).sqrt()
        pair = (r - 4.0) ** 3 * (r - 2.0)
        return torch.zeros(n_neigh.size(0), dtype=coords.dtype).index_add(0, row, pair)


class WrongForces(Smooth):
    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords, n_neigh, nlist, contributing), 0.1 * coords


class Turned(Smooth):
    """Its energy depends on the direction of x."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        stretched = torch.stack([1.1 * coords[:, 0], coords[:, 1], coords[:, 2]], 1)
        return self.energies(stretched, n_neigh, nlist, contributing)


class Nailed(Smooth):
    """Its energy depends on where the particles stand."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        return energies.sum() + 0.01 * (coords[:, 0] * contributing).sum()


class Ordered(Smooth):
    """The first particle counts twice."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        return energies.sum() + energies[0]


class FarOff(Smooth):
    """Rounds its coordinates."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        rounded = coords + (coords.float() - coords).detach()
        return self.energies(rounded, n_neigh, nlist, contributing)


class CountsGhosts(Smooth):
    """Every particle has an energy, another rank's too."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        return energies.sum() - 0.5 * coords.size(0)


class Lonely(Smooth):
    """An atom without neighbours feels the others."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        alone = (n_neigh == 0).to(coords.dtype)
        return energies + 0.1 * alone * alone.sum()


class GlobalShift(Smooth):
    """The energy is not a sum over neighbourhoods."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.energies(coords, n_neigh, nlist, contributing).sum() ** 2 * 0.01


class SmoothSingle(Smooth):
    """Single precision, as its weights say."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=torch.float32))

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        return self.scale * self.energies(coords, n_neigh, nlist, contributing)


class FailsOnPairs(Smooth):
    """Does not look for what is within the cutoff of one particle only."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        if n_neigh.size(0) == 1 and n_neigh.max() == 1:
            raise RuntimeError("never of a single neighbour")
        return self.energies(coords, n_neigh, nlist, contributing)


def failures(model: torch.nn.Module, folder: Path) -> set[str]:
    from torchml_driver import Potential
    from torchml_driver.verify import verify

    returns_forces = isinstance(model, (WrongForces, SpringsWithForces))
    write_model(folder, model, cutoff=4.0, returns_forces=returns_forces)
    return {check.name for check in verify(Potential(folder)) if not check.passed}


@pytest.mark.usefixtures("driver_environment")
class TestModels:
    def test_a_sound_model_passes(self, tmp_path: Path) -> None:
        assert failures(Smooth(), tmp_path) == set()

    @pytest.mark.parametrize(
        "model", [Springs(), SpringsTotal(), SpringsWithForces(), SpringsSingle()]
    )
    def test_a_jump_at_the_cutoff_is_found(self, model: torch.nn.Module, tmp_path: Path) -> None:
        # Springs end at the cutoff wherever they are; a pair that crosses it while energies are
        # differentiated spoils the derivatives too, as it would an MD run.
        found = failures(model, tmp_path)
        assert "cutoff" in found
        assert found <= {"cutoff", "forces", "virial"}

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            (WrongForces(), {"forces", "virial"}),
            (Turned(), {"rotation"}),
            (Nailed(), {"translation", "rotation", "virial", "repeated cell", "locality"}),
            (Ordered(), {"permutation"}),
            (GlobalShift(), {"repeated cell", "locality"}),
            (CountsGhosts(), {"empty region", "one pair", "repeated cell"}),
            (Lonely(), {"isolated atoms"}),
        ],
    )
    def test_what_is_wrong_is_found(
        self, model: torch.nn.Module, expected: set[str], tmp_path: Path
    ) -> None:
        found = failures(model, tmp_path)
        assert expected & found
        assert "repeatable" not in found

    def test_digits_that_are_lost_far_from_the_origin_are_found(self, tmp_path: Path) -> None:
        assert "far from origin" in failures(FarOff(), tmp_path)

    def test_a_model_in_single_precision_passes(self, tmp_path: Path) -> None:
        assert failures(SmoothSingle(), tmp_path) == set()

    @pytest.mark.parametrize("layers", [False, True], ids=["lists", "graphs"])
    def test_a_model_that_fails_without_pairs_passes(self, layers: bool, tmp_path: Path) -> None:
        from torchml_driver import Potential
        from torchml_driver.verify import verify

        if layers:
            write_graph_model(tmp_path, FailsWithoutEdges())
        else:
            write_model(tmp_path, FailsWithoutPairs("all"))
        failed = {check.name for check in verify(Potential(tmp_path)) if not check.passed}
        assert failed <= {"cutoff", "forces", "virial"}

    def test_what_a_model_fails_on_is_said(self, tmp_path: Path) -> None:
        from torchml_driver import Error, Potential
        from torchml_driver.verify import verify

        write_model(tmp_path, FailsOnPairs(), cutoff=4.0)
        with pytest.raises(Error, match=r"on a pair of Si and Si: .* never of a single neighbour"):
            verify(Potential(tmp_path))

    def test_the_example_passes(self, driver_environment: DriverEnvironment) -> None:
        from torchml_driver import Potential
        from torchml_driver.verify import verify

        assert all(check.passed for check in verify(Potential(driver_environment.packed)))


def command(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "torchml_installer", "model", "verify", str(folder)]
    return subprocess.run(
        [*program, *options], capture_output=True, text=True, check=False, cwd=ROOT
    )


@pytest.mark.usefixtures("driver_environment")
def test_the_command_answers_with_its_exit_code(tmp_path: Path) -> None:
    write_model(tmp_path / "sound", Smooth(), cutoff=4.0)
    done = command(tmp_path / "sound", "--json")
    assert done.returncode == 0, done.stderr
    assert {check["name"] for check in json.loads(done.stdout)} >= {"forces", "virial", "cutoff"}

    write_model(tmp_path / "turned", Turned(), cutoff=4.0)
    done = command(tmp_path / "turned")
    assert done.returncode == UnphysicalModelError.exit_code
    assert "rotation           FAILED" in done.stdout
    assert "the energy changes when the system is rotated" in done.stderr


@pytest.mark.usefixtures("driver_environment")
def test_a_model_that_is_none_is_told(tmp_path: Path) -> None:
    done = command(tmp_path)
    assert done.returncode == RunFailedError.exit_code
    assert "no *.param file" in done.stderr
