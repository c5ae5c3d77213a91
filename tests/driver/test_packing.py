"""`model pack` evaluates a model on a few atoms: it records the species codes that the model
expects, and refuses models that would give a simulation wrong results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import ROOT, DriverEnvironment
from tests.support.descriptor_models import TanhNetwork, write_descriptor_model
from tests.support.graph_models import (
    DividesBySpecies,
    Messages,
    MessagesWithForces,
    write_graph_model,
)
from tests.support.torch_models import (
    Complains,
    SpeciesAsEnergy,
    Springs,
    SpringsHalf,
    SpringsSingle,
    SpringsTotal,
    SpringsWithForces,
    torchscript,
    write_model,
)
from torchml_installer.errors import BadOptionError, UnsoundModelError
from torchml_installer.models import parameter_file

pytestmark = pytest.mark.usefixtures("driver_environment")

ELEMENTS = "2\nSi C"


def trial(folder: Path) -> dict[str, Any]:
    from torchml_driver.trial import trial

    answer = trial(folder)
    assert json.loads(json.dumps(answer, allow_nan=False))
    return answer


def tried(folder: Path, module: torch.nn.Module, setting: str = "", **changes: Any) -> Any:
    write_model(folder, module, **{"cutoff": 4.0, "elements": ELEMENTS, **changes})
    with (folder / "model.param").open("a") as text:
        text.write(setting)
    return trial(folder)


def failing(answer: dict[str, Any], *, serious: bool = True) -> set[str]:
    return {
        check["name"]
        for check in answer["checks"]
        if not check["passed"] and check["serious"] == serious
    }


# --- species codes --------------------------------------------------------------------------------


class Weighted(Springs):
    """Each particle's energy times a weight of its species."""

    def weights(self, species: torch.Tensor) -> torch.Tensor:
        return species.to(torch.float64)

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        own = species.index_select(0, contributing.nonzero().view(-1))
        return self.weights(own) * self.energies(coords, n_neigh, nlist, contributing)


class Table(Weighted):
    """A row for each code."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.linspace(1.0, 2.0, rows, dtype=torch.float64))

    def weights(self, species: torch.Tensor) -> torch.Tensor:
        return self.table.index_select(0, species)


class Listed(Weighted):
    """Compares species with a list of known ones, as models with a list of atomic numbers do; an
    unknown species has no weight."""

    def __init__(self, known: Sequence[int]) -> None:
        super().__init__()
        self.known = torch.nn.Buffer(torch.tensor(known))

    def weights(self, species: torch.Tensor) -> torch.Tensor:
        same = (species.unsqueeze(1) == self.known).to(torch.float64)
        return 0.1 + (same * torch.arange(1, same.size(1) + 1)).sum(1)


class FractionOfLargest(Weighted):
    """nan if all species codes are 0. With several elements, an atom's energy depends on which
    others its rank has, so the ranks' energies do not add up."""

    def weights(self, species: torch.Tensor) -> torch.Tensor:
        return species.to(torch.float64) / species.max()


@pytest.mark.parametrize(
    ("module", "elements", "outcome"),
    [
        (Springs(), ELEMENTS, "either"),
        (Table(2), ELEMENTS, "codes"),
        (Table(1), "1\nH", "codes"),
        (Table(4), "4\nH C N O", "codes"),
        (Listed([6, 14]), ELEMENTS, "atomic_numbers"),
        (Listed([1, 6, 8, 14]), ELEMENTS, "atomic_numbers"),
        (Listed([0, 1]), ELEMENTS, "codes"),
        (Listed([0, 1, 2, 3]), "4\nH C N O", "codes"),
        (FractionOfLargest(), "1\nSi", "atomic_numbers"),
        (FractionOfLargest(), ELEMENTS, "atomic_numbers"),
        # Undecidable: a row for every element, and arithmetic with the codes.
        (Table(119), ELEMENTS, "unknown"),
        (SpeciesAsEnergy(), ELEMENTS, "unknown"),
    ],
)
def test_the_species_codes_that_a_model_was_made_for_are_found_where_they_can_be(
    module: torch.nn.Module, elements: str, outcome: str, tmp_path: Path
) -> None:
    answer = tried(tmp_path, module, elements=elements)
    assert answer["species"]["outcome"] == outcome
    assert bool(answer["checks"]) == (outcome != "unknown")
    depends_on_its_rank = isinstance(module, FractionOfLargest) and elements == ELEMENTS
    assert failing(answer) == ({"one pair"} if depends_on_its_rank else set())


def test_trying_other_codes_leaves_no_trace(tmp_path: Path) -> None:
    from torchml_driver import Potential
    from torchml_driver.species_codes import find

    potential = Potential(write_model(tmp_path, Listed([6, 14]), elements=ELEMENTS))
    before = potential.compute(["Si", "C"], [[0, 0, 0], [2, 0, 0]]).energy
    assert find(potential).outcome == "atomic_numbers"
    assert potential.species_codes.tolist() == [0, 1]
    assert potential.compute(["Si", "C"], [[0, 0, 0], [2, 0, 0]]).energy == before


def test_models_that_may_end_their_process_are_tried_in_another(tmp_path: Path) -> None:
    """Compiled code aborts if an index is out of range."""
    from torchml_driver import Error, Potential
    from torchml_driver.species_codes import _energies, _energies_elsewhere

    potential = Potential(write_model(tmp_path, Table(5), elements=ELEMENTS))
    kinds = [[0, 1], [14, 6], [3, 4], [-1, 0]]
    found = _energies_elsewhere(potential, kinds)
    assert [isinstance(energy, Error) for energy in found] == [False, True, False, True]
    assert "index out of range" in str(found[1])
    assert "crashed its process" in str(found[3])
    assert found[0::2] == _energies(potential, kinds[0::2])


def test_a_graph_models_species_codes_are_found(tmp_path: Path) -> None:
    folder = write_graph_model(tmp_path / "table", Messages(2), elements="Si C")
    assert trial(folder)["species"]["outcome"] == "codes"
    folder = write_graph_model(tmp_path / "numbers", DividesBySpecies())
    assert trial(folder)["species"]["outcome"] == "atomic_numbers"


def test_verify_finds_a_package_that_gives_the_model_the_wrong_codes(tmp_path: Path) -> None:
    from torchml_driver import Error, Potential
    from torchml_driver.verify import verify

    def passes(module: torch.nn.Module, **options: Any) -> bool:
        write_model(tmp_path, module, cutoff=4.0, elements=ELEMENTS)
        checks = verify(Potential(tmp_path, **options))
        return next(check.passed for check in checks if check.name == "species codes")

    assert passes(Springs())
    assert not passes(Table(119))
    assert not passes(Listed([6, 14]))
    assert passes(Listed([6, 14]), atomic_numbers=True)
    with pytest.raises(Error, match=r"fails with atomic numbers .* unset KIM_MODEL_ELEMENTS_MAP"):
        passes(Table(2), atomic_numbers=True)


# --- checks ---------------------------------------------------------------------------------------


class ForcesOnOwn(SpringsWithForces):
    """Returns forces on contributing particles; the rows of others are zero."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        neighbour = nlist.long()
        delta = coords.index_select(0, neighbour) - coords.index_select(0, owner)
        r = (delta * delta).sum(1, keepdim=True).sqrt()
        pull = 0.5 * self.k * (r - self.r0) * delta / r
        forces = torch.zeros_like(coords).index_add(0, owner, pull)
        forces = forces.index_add(0, neighbour, -pull) * contributing.unsqueeze(1)
        return self.energies(coords, n_neigh, nlist, contributing), forces


class TwiceTheForces(SpringsWithForces):
    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        gradient = torch.autograd.grad([energies.sum()], [coords])[0]
        assert gradient is not None
        return energies, -2.0 * gradient


class Nailed(Springs):
    """Its energy depends on the position of the origin."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        return energies.sum() + (coords[:, 0] * contributing).sum()


class Random(Springs):
    """Traced in training mode, with dropout."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        return energies * (1.0 + 0.1 * torch.rand_like(energies))


class SingleInside(Springs):
    """Takes float64, and computes in float32."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords.float(), n_neigh, nlist, contributing)
        return energies.double() + 100.0


class CountsTheOthers(Messages):
    """Interprets 0 as "does not contribute", as in the other calling convention."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        return self.of_edges(species, coords, edges, 0) * contributing


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (ForcesOnOwn(), {"net force", "ghost forces", "ghost virial", "ranks' forces"}),
        (TwiceTheForces(), {"ghost forces", "ghost virial"}),
        (Nailed(), {"net force"}),
        (Random(), {"repeatable"}),
    ],
)
def test_a_model_that_simulations_would_be_wrong_with_is_found(
    module: torch.nn.Module, expected: set[str], tmp_path: Path
) -> None:
    returns_forces = isinstance(module, SpringsWithForces)
    answer = tried(tmp_path, module, returns_forces=returns_forces)
    assert failing(answer) >= expected


@pytest.mark.parametrize(
    "module",
    [
        Springs(),
        SpringsTotal(),
        SpringsWithForces(),
        SpringsSingle(),
        SpringsHalf(torch.float16),
        SpringsHalf(torch.bfloat16),
        SingleInside(),
    ],
    ids=lambda module: type(module).__name__,
)
@pytest.mark.parametrize("cutoff", [2.5, 4.0, 7.0])
def test_no_good_model_is_refused(module: torch.nn.Module, cutoff: float, tmp_path: Path) -> None:
    """Springs end at the cutoff with a jump, which gives only a warning."""
    returns_forces = isinstance(module, SpringsWithForces)
    answer = tried(tmp_path, module, returns_forces=returns_forces, cutoff=cutoff)
    assert failing(answer) == set()
    if cutoff > 2.5:  # half precision does not resolve the jump of slightly stretched springs
        assert failing(answer, serious=False) == {"cutoff"}


def test_graph_models_are_checked(tmp_path: Path) -> None:
    assert failing(trial(write_graph_model(tmp_path / "sound", Messages()))) == set()
    forces = write_graph_model(tmp_path / "forces", MessagesWithForces(), returns_forces=True)
    assert failing(trial(forces)) == set()
    wrong = write_graph_model(tmp_path / "wrong", CountsTheOthers())
    assert "ranks' energies" in failing(trial(wrong))


def test_a_model_on_descriptors_is_checked(tmp_path: Path) -> None:
    folder = write_descriptor_model(tmp_path, TanhNetwork(51), "set51")
    answer = trial(folder)
    assert answer["species"]["outcome"] == "none"
    assert len(answer["checks"]) >= 6
    assert failing(answer) == set()


def test_a_model_that_fails_or_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    assert "this model never works" in tried(tmp_path, Complains())["failed"]
    (tmp_path / "model.pt").write_bytes(b"no model")
    assert "cannot be loaded" in trial(tmp_path)["not_loaded"]


def test_a_mistake_in_the_descriptor_file_is_not_blamed_on_the_machine(tmp_path: Path) -> None:
    folder = write_descriptor_model(tmp_path, TanhNetwork(51), "set51")
    (file,) = folder.glob("*.dat")
    file.write_text(file.read_text().replace("cos", "sin", 1))
    answer = trial(folder)
    assert set(answer) == {"refused"}
    assert "descriptor file" in answer["refused"]


class NamesItsDevice(Springs):
    """Fails with atomic numbers, too, in another way: there are none below 9 in its table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(9, 1).double()

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        scale = self.table(species).sum()
        return scale * torch.zeros(3, device="cuda").double().sum().to(coords.device)


def test_a_model_for_another_device_does_not_run_here(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has that device")
    answer = tried(tmp_path, NamesItsDevice())
    assert set(answer) == {"not_loaded"}
    assert "its code names the device cuda" in answer["not_loaded"]


class Talkative(Springs):
    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        print("hello")
        return self.energies(coords, n_neigh, nlist, contributing)


# --- the command ----------------------------------------------------------------------------------


def pack(folder: Path, module: torch.nn.Module, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "model.pt").write_bytes(torchscript(module))
    program = [sys.executable, "-m", "torchml_installer", "model", "pack", "model.pt"]
    settings = ["--elements", "Si,C", "--cutoff", "4", "--name", "M", "--force", *options]
    return subprocess.run(
        [*program, *settings],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=ENVIRONMENT,
    )


ENVIRONMENT: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _environment(driver_environment: DriverEnvironment) -> None:
    # A user's settings for another model do not affect packing.
    ENVIRONMENT.update(driver_environment.env, PYTHONPATH=str(ROOT), KIM_MODEL_ELEMENTS_MAP="yes")


def recorded(folder: Path) -> bool | None:
    return parameter_file.read(folder / "M" / "M.param").atomic_numbers


def test_packing_records_the_species_codes(tmp_path: Path) -> None:
    done = pack(tmp_path, Listed([6, 14]))
    assert done.returncode == 0, done.stderr
    assert "species codes: atomic numbers" in done.stdout
    assert recorded(tmp_path) is True
    assert pack(tmp_path, Table(2)).returncode == 0
    assert recorded(tmp_path) is False


def test_a_model_may_print(tmp_path: Path) -> None:
    done = pack(tmp_path, Talkative(), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["checked"] is True


def test_packing_asks_for_what_it_cannot_find_out(tmp_path: Path) -> None:
    done = pack(tmp_path, Table(119))
    assert done.returncode == BadOptionError.exit_code
    assert "eV with 0, 1, …" in done.stderr
    assert "eV with atomic numbers" in done.stderr
    assert "--atomic-numbers or --species-codes" in done.stderr
    assert not (tmp_path / "M").exists()
    done = pack(tmp_path, Table(119), "--atomic-numbers", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["atomic_numbers"], answer["checked"]) == (True, True)


def test_packing_refuses_what_the_model_shows_to_be_wrong(tmp_path: Path) -> None:
    done = pack(tmp_path, Table(2), "--atomic-numbers")
    assert done.returncode == BadOptionError.exit_code
    assert "it fails with atomic numbers" in done.stderr
    done = pack(tmp_path, Listed([6, 14]), "--species-codes")
    assert done.returncode == BadOptionError.exit_code
    assert "Leave out --species-codes" in done.stderr


def test_packing_refuses_a_model_without_forces_on_images(tmp_path: Path) -> None:
    done = pack(tmp_path, ForcesOnOwn(), "--returns-forces")
    assert done.returncode == UnsoundModelError.exit_code
    assert "ranks' forces: the forces of two halves" in done.stderr
    assert "--unchecked" in done.stderr
    assert not (tmp_path / "M").exists()
    done = pack(tmp_path, ForcesOnOwn(), "--returns-forces", "--unchecked")
    assert done.returncode == 0, done.stderr
    assert "was packed unchecked: you chose --unchecked" in done.stderr
    assert recorded(tmp_path) is None
