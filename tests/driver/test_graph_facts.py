"""What was made of periodic images is told: by the Python module, the profile and `model bench`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from tests.support import ROOT, DriverEnvironment
from tests.support.edge_models import CUTOFF, LAYERS, Continuous, write_edge_model
from tests.support.graph_models import Messages, write_graph_model
from tests.support.handed_over import HandedOver, hand_over
from tests.support.html_pages import read_page
from tests.support.profiles import read_profiles

pytestmark = pytest.mark.usefixtures("driver_environment")


def rattled() -> Atoms:
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=3)
    return atoms


def handed(atoms: Atoms, layers: int = LAYERS) -> HandedOver:
    return hand_over(atoms, layers * CUTOFF + 0.5, CUTOFF + 0.5)


@pytest.fixture
def potential(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    import torchml_driver

    monkeypatch.setenv("KIM_MODEL_GHOSTS", getattr(request, "param", "auto"))
    return torchml_driver.Potential(write_edge_model(tmp_path / "model", Continuous()))


def compute(potential: Any, system: HandedOver) -> Any:
    system.compute(potential, np.zeros(int(system.owner.max()) + 1, dtype=int))
    return potential.graph


def test_nothing_is_known_before_the_first_computation(potential: Any) -> None:
    assert potential.graph is None


def test_models_of_other_conventions_have_no_such_graph(tmp_path: Path) -> None:
    import torchml_driver

    potential = torchml_driver.Potential(write_graph_model(tmp_path, Messages()))
    atoms = rattled()
    potential.compute(atoms.numbers, atoms.positions, atoms.cell.array, True)
    assert potential.graph is None


def test_periodic_systems_in_python_have_their_atoms_and_edges(potential: Any) -> None:
    atoms = rattled()
    potential.compute(atoms.numbers, atoms.positions, atoms.cell.array, True)
    graph = potential.graph
    assert (graph.mode, graph.nodes, graph.reason) == ("folded", len(atoms), "")
    assert graph.edges == len(neighbor_list("i", atoms, CUTOFF))


@pytest.mark.parametrize("potential", ["auto", "fold"], indirect=True)
def test_folded_images_are_neither_nodes_nor_a_reason(potential: Any) -> None:
    atoms = rattled()
    graph = compute(potential, handed(atoms))
    assert (graph.mode, graph.nodes, graph.reason) == ("folded", len(atoms), "")
    assert graph.edges == len(neighbor_list("i", atoms, CUTOFF))


@pytest.mark.parametrize("potential", ["stage"], indirect=True)
def test_a_user_who_wants_it_staged_is_reminded(potential: Any) -> None:
    atoms = rattled()
    graph = compute(potential, handed(atoms))
    assert graph.mode == "staged"
    assert graph.nodes > 5 * len(atoms)
    assert graph.edges > 5 * len(neighbor_list("i", atoms, CUTOFF))
    assert graph.reason == "KIM_MODEL_GHOSTS is stage. Unset it to fold images where possible."


def test_another_ranks_particles_are_the_reason(potential: Any) -> None:
    system = handed(rattled())
    system.contributing[::2] = 0
    graph = compute(potential, system)
    assert graph.mode == "staged"
    assert "is not a periodic image of a particle of this process" in graph.reason
    assert "another MPI rank" in graph.reason
    assert graph.reason[0].isupper()
    assert graph.reason.endswith(".")


def test_images_with_other_neighbours_than_their_owners_are_the_reason(potential: Any) -> None:
    """Copies that end where no crystal would."""
    atoms = bulk("Cu", a=3.2, cubic=True) * (1, 2, 2)
    atoms.rattle(0.1, seed=3)
    atoms.symbols = ["Si"] * len(atoms)
    atoms.pbc = False
    graph = compute(potential, hand_over(atoms, 100.0, CUTOFF + 0.5, copies=(1, 0, 0)))
    assert graph.mode == "staged"
    assert "other neighbours" in graph.reason
    assert "KIM_MODEL_GHOSTS=fold" in graph.reason


def test_a_mode_is_that_of_the_last_computation(potential: Any) -> None:
    atoms = rattled()
    system = handed(atoms)
    mine = system.contributing.copy()
    modes = []
    for contributing in (mine, mine * (system.owner % 2), mine):
        system.contributing = contributing
        modes.append(compute(potential, system).mode)
    assert modes == ["folded", "staged", "folded"]


def test_the_profile_says_how_and_why(
    tmp_path: Path, driver_environment: DriverEnvironment
) -> None:
    folder = write_edge_model(tmp_path / "model", Continuous())
    program = f"""
import numpy as np
from tests.driver.test_graph_facts import handed, rattled
from torchml_driver import Potential
system = handed(rattled())
if {{half}}:
    system.contributing[::2] = 0
system.compute(Potential({str(folder)!r}), np.zeros(len(rattled()), dtype=int))
"""

    def printed(half: bool) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", program.format(half=half)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**driver_environment.env, "KIM_MODEL_PROFILE": "1"},
        )
        (profile,) = read_profiles(done.stderr)
        return profile.graph

    atoms = rattled()
    edges = len(neighbor_list("i", atoms, CUTOFF))
    assert printed(half=False) == f"folded, {len(atoms)} nodes, {edges} edges"
    staged = printed(half=True)
    assert staged.startswith("staged, ")
    assert "is not a periodic image" in staged


def bench(folder: Path, *options: str) -> str:
    program = [sys.executable, "-m", "torchml_installer", "model", "bench", str(folder)]
    done = subprocess.run(
        [*program, "--atoms", "32", "--seconds", "0", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bench_says_which_graph_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_edge_model(tmp_path / "model", Continuous())
    page = tmp_path / "report.html"
    found = json.loads(bench(folder, "--json", "--html", str(page)))
    (size,) = found["sizes"]
    assert size["graph"]["mode"] == "folded"
    assert size["graph"]["nodes"] == 32
    assert size["graph"]["reason"] == ""
    edges = size["graph"]["edges"]
    assert f"folded, 32 nodes, {edges} edges" in bench(folder)
    shown = read_page(page.read_text(encoding="utf-8"))
    assert "folded" in shown.text
    monkeypatch.setenv("KIM_MODEL_GHOSTS", "stage")
    assert "KIM_MODEL_GHOSTS is stage" in bench(folder)
    monkeypatch.setenv("KIM_MODEL_GHOSTS", "fold")
    (folded,) = json.loads(bench(folder, "--json"))["sizes"]
    assert folded["graph"]["mode"] == "folded"
    assert folded["particles"] < size["particles"] / 2  # as few as a simulator would pass


def test_bench_is_silent_about_graphs_that_are_always_the_same(tmp_path: Path) -> None:
    folder = write_graph_model(tmp_path / "model", Messages())
    (size,) = json.loads(bench(folder, "--json"))["sizes"]
    assert size["graph"] is None
    assert "nodes" not in bench(folder)
