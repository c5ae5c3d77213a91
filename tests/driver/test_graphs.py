"""Message-passing models get graphs that reproduce the model's own results for every system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from tests.support import DriverEnvironment, torchml_install
from tests.support.force_models import ForcesOfMessages
from tests.support.graph_models import (
    CUTOFF,
    LAYERS,
    Breaks,
    CountsParticles,
    DividesBySpecies,
    FiveLayers,
    FiveLayersWithTheLargestBothWays,
    Messages,
    MessagesSummedByScattering,
    MessagesToSecondRow,
    MessagesWithForces,
    NeedsAGpu,
    Probe,
    graph_parameters,
    on_a_plain_graph,
    write_graph_model,
)
from tests.support.structures import (
    STRUCTURES,
    cluster,
    rattled_crystal,
    strained_triclinic_crystal,
)
from tests.support.torch_models import torchscript
from torchml_installer.errors import UnsoundModelError

pytestmark = [pytest.mark.usefixtures("in_collection"), pytest.mark.sanitize]

ELEMENTS = ["Si", "C", "O", "Al", "Mg"]
FEWER = "edge_receiver_row 0\ndrop_unused_particles True"


def load(folder: Path, module: Any, **parameters: Any) -> Any:
    import torchml_driver

    return torchml_driver.Potential(write_graph_model(folder, module, **parameters))


def compute(potential: Any, atoms: Atoms) -> Any:
    return potential.compute(
        atoms.get_chemical_symbols(),
        atoms.positions,
        atoms.cell.array,
        atoms.pbc,
        particle_energies=True,
    )


def mixture() -> Atoms:
    atoms = rattled_crystal()
    atoms.symbols = np.random.default_rng(1).choice(ELEMENTS, len(atoms))
    return atoms


def one_atom_cell() -> Atoms:
    """Shorter than the cutoff in every direction: all neighbours are images of the atom itself."""
    return Atoms(
        "Si", [[0.3, 0.2, 0.1]], cell=[[2.4, 0, 0], [0.3, 2.5, 0], [-0.2, 0.4, 2.6]], pbc=True
    )


GRAPH_STRUCTURES = {**STRUCTURES, "mixture": mixture, "one_atom_cell": one_atom_cell}


@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
@pytest.mark.parametrize("name", GRAPH_STRUCTURES)
def test_energies_and_forces_equal_the_model_on_a_plain_periodic_graph(
    tmp_path: Path, name: str, settings: str
) -> None:
    atoms = GRAPH_STRUCTURES[name]()
    model = Messages(len(ELEMENTS))
    potential = load(tmp_path, model, elements=" ".join(ELEMENTS), settings=settings)
    result = compute(potential, atoms)
    energies, forces = on_a_plain_graph(model, atoms, ELEMENTS)
    assert result.energy == pytest.approx(energies.sum(), abs=1e-10)
    np.testing.assert_allclose(result.particle_energies, energies, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-10)


@pytest.mark.parametrize("module", [MessagesSummedByScattering, MessagesWithForces])
@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
def test_other_ways_to_give_the_energy_give_the_same_forces(
    tmp_path: Path, module: Any, settings: str
) -> None:
    atoms = strained_triclinic_crystal()
    model = module()
    returns = isinstance(model, MessagesWithForces)
    potential = load(tmp_path, model, returns_forces=returns, settings=settings)
    result = potential.compute(atoms.numbers, atoms.positions, atoms.cell.array, True)
    energies, forces = on_a_plain_graph(model, atoms, ["Si"])
    assert result.energy == pytest.approx(energies.sum(), abs=1e-10)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-10)


@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
def test_one_potential_serves_systems_of_all_sizes_in_turn(tmp_path: Path, settings: str) -> None:
    """Memory that is reused between systems carries nothing over."""
    model = Messages(len(ELEMENTS))
    potential = load(tmp_path, model, elements=" ".join(ELEMENTS), settings=settings)
    names = ["cluster", "isolated_atom", "mixture", "dimer", "one_atom_cell", "slab", "cluster"]
    for name in names:
        atoms = GRAPH_STRUCTURES[name]()
        result = compute(potential, atoms)
        energies, forces = on_a_plain_graph(model, atoms, ELEMENTS)
        assert result.energy == pytest.approx(energies.sum(), abs=1e-10)
        np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-10)


@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
def test_a_model_in_single_precision_is_right_to_single_precision(
    tmp_path: Path, settings: str
) -> None:
    atoms = strained_triclinic_crystal()
    result = compute(load(tmp_path, Messages().float(), settings=settings), atoms)
    energies, forces = on_a_plain_graph(Messages(), atoms, ["Si"])
    np.testing.assert_allclose(result.particle_energies, energies, rtol=1e-5)
    np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-4)
    assert result.energy != energies.sum()  # it really computed in single precision


def test_forces_equal_negative_energy_gradient(tmp_path: Path) -> None:
    atoms = strained_triclinic_crystal()
    potential = load(tmp_path, Messages())
    forces = compute(potential, atoms).forces
    step = 1e-5
    for atom, axis in [(0, 0), (3, 1), (7, 2)]:
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(compute(potential, moved).energy)
        slope = (energies[0] - energies[1]) / (2 * step)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-7)


@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
def test_virial_equals_the_energys_derivative_by_strain(tmp_path: Path, settings: str) -> None:
    atoms = strained_triclinic_crystal()
    potential = load(tmp_path, Messages(), settings=settings)
    virial = compute(potential, atoms).virial
    step = 1e-6
    for index, (row, column) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(compute(potential, strained).energy)
        assert virial[index] == pytest.approx((energies[0] - energies[1]) / (2 * step), abs=1e-6)


def particles_of(atoms: Atoms, contributing: np.ndarray, reach: float) -> list[np.ndarray]:
    """A simulator's input for atoms without periodicity, with lists for every particle."""
    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    rows = [np.flatnonzero(row < reach) for row in distances]
    counts = np.array([len(row) for row in rows])
    codes = np.zeros(len(atoms), dtype=int)
    return [codes, atoms.positions, contributing, counts, np.concatenate(rows)]


@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
def test_particles_that_do_not_contribute_may_stand_anywhere(tmp_path: Path, settings: str) -> None:
    atoms = cluster()
    potential = load(tmp_path, Messages(), settings=settings)
    contributing = np.zeros(len(atoms), dtype=int)
    contributing[:5] = 1
    plain = potential.compute_particles(
        *particles_of(atoms, contributing, CUTOFF), particle_energies=True
    )
    order = np.random.default_rng(3).permutation(len(atoms))
    mixed = potential.compute_particles(
        *particles_of(atoms[order], contributing[order], CUTOFF), particle_energies=True
    )
    assert mixed.energy == pytest.approx(plain.energy, abs=1e-10)
    np.testing.assert_allclose(mixed.forces, plain.forces[order], rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        mixed.particle_energies, plain.particle_energies[order], rtol=0, atol=1e-10
    )
    assert (plain.particle_energies[5:] == 0.0).all()


@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
def test_parts_of_a_system_add_up_as_they_do_over_mpi_ranks(tmp_path: Path, settings: str) -> None:
    atoms = cluster()
    potential = load(tmp_path, Messages(), settings=settings)
    whole = compute(potential, atoms)
    owner = np.arange(len(atoms)) % 3
    parts = [
        potential.compute_particles(*particles_of(atoms, (owner == rank).astype(int), 2 * CUTOFF))
        for rank in range(3)
    ]
    assert sum(part.energy for part in parts) == pytest.approx(whole.energy, abs=1e-10)
    np.testing.assert_allclose(sum(part.forces for part in parts), whole.forces, rtol=0, atol=1e-10)


def test_the_simulators_skin_changes_nothing(tmp_path: Path) -> None:
    atoms = cluster()
    potential = load(tmp_path, Messages())
    contributing = np.ones(len(atoms), dtype=int)
    for reach in (CUTOFF, 1.1 * CUTOFF, 5 * CUTOFF):
        result = potential.compute_particles(*particles_of(atoms, contributing, reach))
        assert result.energy == pytest.approx(compute(potential, atoms).energy, abs=1e-10)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_layer_holds_the_pairs_of_all_that_the_layer_before_reached(
    tmp_path: Path, layer: int
) -> None:
    """Edges in both directions, each once; contributing is 0 for particles that contribute."""
    atoms = cluster()
    contributing = np.zeros(len(atoms), dtype=int)
    contributing[[0, 7]] = 1
    arrays = particles_of(atoms, contributing, 2 * CUTOFF)

    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    near = distances < CUTOFF
    reached = contributing.astype(bool)
    for _ in range(layer - 1):
        reached = reached | near[reached].any(axis=0)
    assert not reached.all() or layer == LAYERS  # the layers differ
    expected = near & (reached[:, None] | reached[None, :])

    def probe(what: str, settings: str = "") -> np.ndarray:
        folder = tmp_path / (what + settings[:17])
        potential = load(folder, Probe(layer, what), settings=settings)
        result = potential.compute_particles(*arrays, particle_energies=True)
        return np.asarray(result.particle_energies)

    np.testing.assert_array_equal(probe("first"), expected.sum(axis=1))
    np.testing.assert_array_equal(probe("second"), expected.sum(axis=0))
    assert not probe("twice").any()
    assert not probe("beyond").any()
    np.testing.assert_array_equal(probe("mark"), 1 - contributing)

    received = (near & reached[:, None]).sum(axis=1)
    sent = (near & reached[:, None]).sum(axis=0)
    for row, setting in enumerate(["edge_receiver_row 0", "edge_receiver_row 1"]):
        names = ("first", "second") if row == 0 else ("second", "first")
        np.testing.assert_array_equal(probe(names[0], setting), received)
        np.testing.assert_array_equal(probe(names[1], setting), sent)
        assert not probe("twice", setting).any()


def test_particles_in_no_graph_are_left_out_on_request(tmp_path: Path) -> None:
    atoms = cluster()
    atoms += Atoms("Si2", positions=[[50.0, 0.0, 0.0], [0.0, 60.0, 0.0]])
    contributing = (np.arange(len(atoms)) < 4).astype(int)
    arrays = particles_of(atoms, contributing, CUTOFF)
    kept = load(tmp_path / "kept", CountsParticles())
    dropped = load(tmp_path / "dropped", CountsParticles(), settings="drop_unused_particles True")
    assert dropped.compute_particles(*arrays).energy < kept.compute_particles(*arrays).energy
    forces = dropped.compute_particles(*arrays).forces
    assert forces.shape == (len(atoms), 3)
    assert not forces[-2:].any()


@pytest.mark.parametrize("settings", ["", FEWER], ids=["all edges", "fewer edges"])
def test_nothing_contributing_is_no_energy(tmp_path: Path, settings: str) -> None:
    atoms = cluster()
    potential = load(tmp_path, Messages(), settings=settings)
    arrays = particles_of(atoms, np.zeros(len(atoms), dtype=int), CUTOFF)
    result = potential.compute_particles(*arrays)
    assert result.energy == 0.0
    assert not result.forces.any()


def test_atoms_out_of_each_others_reach_have_their_own_energies(tmp_path: Path) -> None:
    atoms = Atoms("Si3", positions=[[0, 0, 0], [10, 0, 0], [0, 12, 0]])
    model = Messages()
    result = compute(load(tmp_path, model), atoms)
    energies, _ = on_a_plain_graph(model, atoms, ["Si"])
    assert result.energy == pytest.approx(energies.sum(), abs=1e-12)
    assert not result.forces.any()


def test_a_model_made_for_atomic_numbers_is_told_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchml_driver

    atoms = cluster()
    with pytest.raises(torchml_driver.Error, match=r"not finite.*KIM_MODEL_ELEMENTS_MAP"):
        compute(load(tmp_path, DividesBySpecies()), atoms)
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", "yes")
    result = compute(load(tmp_path, DividesBySpecies()), atoms)
    energies, _ = on_a_plain_graph(Messages(), atoms, ["Si"])
    assert result.energy == pytest.approx(energies.sum(), abs=1e-10)


def test_lists_for_contributing_particles_alone_are_refused(tmp_path: Path) -> None:
    import torchml_driver

    atoms = cluster()
    contributing = (np.arange(len(atoms)) < 4).astype(int)
    codes, positions, contributing, counts, _ = particles_of(atoms, contributing, CUTOFF)
    potential = load(tmp_path, Messages())
    with pytest.raises(torchml_driver.Error, match="needs the neighbours of all particles"):
        potential.compute_particles(
            codes, positions, contributing, counts[:4], np.zeros(counts[:4].sum(), dtype=int)
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (graph_parameters("model.pt", layers=0), "number of graph layers.* 1 "),
        (graph_parameters("model.pt", layers="model.pt"), "number of graph layers"),
        (graph_parameters("model.pt", layers=2), "is called as forward"),
        (graph_parameters("model.pt", settings="fewer_edges 1"), "unknown setting 'fewer_edges'"),
        (graph_parameters("model.pt", settings="edge_receiver_row 2"), "0 or 1"),
        (graph_parameters("model.pt", settings="drop_unused_particles 1"), "True or False"),
        (graph_parameters("model.pt", settings="precision double"), "float64, float32, float16"),
        (graph_parameters("model.pt", settings="atomic_numbers 14"), "True or False"),
        (
            "1\nSi\nNone\n3.0\nmodel.pt\nFalse\n5\nNone\nedge_receiver_row 1\n",
            "only to models with preprocessing Graph",
        ),
    ],
)
def test_a_parameter_file_that_does_not_fit_says_where(
    tmp_path: Path, text: str, message: str
) -> None:
    import torchml_driver

    (tmp_path / "model.pt").write_bytes(torchscript(Messages()))
    (tmp_path / "model.param").write_text(text)
    with pytest.raises(torchml_driver.Error, match=message):
        torchml_driver.Potential(tmp_path)


@pytest.mark.parametrize("settings", ["", FEWER])
@pytest.mark.parametrize("shape", [(-1,), (1, -1, 3)])
def test_forces_in_any_shape_are_those_of_their_particles(
    shape: tuple[int, ...], settings: str, tmp_path: Path
) -> None:
    """Also if the model sees only some particles, in another order, or one additional particle."""
    expected = load(tmp_path / "plain", MessagesWithForces(), returns_forces=True)
    model = ForcesOfMessages(*shape)
    shaped = load(tmp_path / "shaped", model, returns_forces=True, settings=settings)
    for atoms in (rattled_crystal(), cluster()[:7], cluster()[:1]):
        arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        result, plain = shaped.compute(*arrays), expected.compute(*arrays)
        np.testing.assert_allclose(result.forces, plain.forces, rtol=0, atol=1e-12)
        np.testing.assert_allclose(result.virial, plain.virial, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        (Messages, ["edge_receiver_row 0", "drop_unused_particles True"]),
        (MessagesToSecondRow, ["edge_receiver_row 1", "drop_unused_particles True"]),
        (CountsParticles, ["edge_receiver_row 0"]),
    ],
)
def test_packing_finds_out_what_a_model_can_do_without(
    driver_environment: DriverEnvironment, tmp_path: Path, module: Any, settings: list[str]
) -> None:
    (tmp_path / "model.pt").write_bytes(torchscript(module()))
    options = ("--elements", "Si", "--cutoff", str(CUTOFF), "--pattern", "graph", "--layers", "3")
    # An ordinary model does not count particles: it would be refused.
    command = ("model", "pack", tmp_path / "model.pt", "--unchecked", *options, "--name")
    torchml_install(*command, "Fewer", env=driver_environment.env, cwd=tmp_path)
    lines = (tmp_path / "Fewer/Fewer.param").read_text().splitlines()
    assert lines[-len(settings) :] == settings
    torchml_install(*command, "All", "--all-edges", env=driver_environment.env, cwd=tmp_path)
    assert "edge_receiver_row" not in (tmp_path / "All/All.param").read_text()


@pytest.mark.parametrize(
    ("module", "setting"),
    [(FiveLayers, "edge_receiver_row 1"), (FiveLayersWithTheLargestBothWays, "")],
)
def test_settings_of_deep_models_are_tried_beyond_the_influence_distance(
    module: Any, setting: str, tmp_path: Path
) -> None:
    from torchml_driver.graph_settings import find_settings

    (tmp_path / "model.pt").write_bytes(torchscript(module()))
    text = graph_parameters("model.pt", layers=5)
    (tmp_path / "model.param").write_text(text)
    found = find_settings(tmp_path / "model.param")
    rows = [line for line in found if line.startswith("edge_receiver_row")]
    assert rows == [setting] * bool(setting)


def packing(driver_environment: DriverEnvironment, folder: Path, module: Any) -> Any:
    (folder / "model.pt").write_bytes(torchscript(module()))
    options = ("--elements", "Si", "--cutoff", str(CUTOFF), "--pattern", "graph", "--layers", "3")
    command = [sys.executable, "-m", "torchml_installer", "model", "pack", "model.pt", *options]
    return subprocess.run(
        command,
        cwd=folder,
        env=dict(driver_environment.env),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_model_that_cannot_be_evaluated_is_not_packed(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    done = packing(driver_environment, tmp_path, Breaks)
    assert done.returncode == UnsoundModelError.exit_code, done.stderr
    assert "The model fails on a few atoms: the model in model.pt failed" in done.stderr
    assert "mat1 and mat2 shapes cannot be multiplied" in done.stderr
    assert "frame #" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_model_for_another_machine_is_packed_with_a_warning(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    done = packing(driver_environment, tmp_path, NeedsAGpu)
    assert done.returncode == 0, done.stderr
    assert "warning: The model's code names the device cuda:7" in done.stderr
    assert "the model gets all edges, since fewer could not be tested here" in done.stderr
    assert "edge_receiver_row" not in (tmp_path / "model/model.param").read_text()


def test_settings_are_found_from_the_command_line_too(tmp_path: Path) -> None:
    folder = write_graph_model(tmp_path / "model", Messages())
    command = [sys.executable, "-m", "torchml_driver.graph_settings", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "edge_receiver_row 0"
    (folder / "model.pt").write_bytes(b"no model")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: model file model.pt cannot be loaded")
