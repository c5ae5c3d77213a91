"""Models of edges give what they give on a plain periodic graph, in every system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from tests.support.edge_models import (
    CUTOFF,
    ELEMENTS,
    LAYERS,
    Continuous,
    Directional,
    Edges,
    Summed,
    edge_parameters,
    on_a_periodic_graph,
    write_edge_model,
)
from tests.support.structures import STRUCTURES, cluster, strained_triclinic_crystal
from tests.support.torch_models import torchscript

pytestmark = [pytest.mark.usefixtures("driver_environment"), pytest.mark.sanitize]


def load(folder: Path, module: Any, **parameters: Any) -> Any:
    import torchml_driver

    return torchml_driver.Potential(write_edge_model(folder, module, **parameters))


def compute(potential: Any, atoms: Atoms, **wanted: bool) -> Any:
    return potential.compute(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc, **wanted
    )


def mixed(atoms: Atoms, seed: int = 1) -> Atoms:
    atoms.symbols = np.random.default_rng(seed).choice(ELEMENTS, len(atoms))
    return atoms


def smaller_than_the_cutoff() -> Atoms:
    cell = [[2.4, 0, 0], [0.3, 2.5, 0], [-0.2, 0.4, 2.6]]
    return Atoms("Si", [[0.3, 0.2, 0.1]], cell=cell, pbc=True)


def skewed() -> Atoms:
    cell = [[4.0, 0, 0], [9.0, 4.2, 0], [-7.0, 5.0, 4.1]]
    atoms = Atoms("SiCSi", cell=cell, pbc=True)
    atoms.set_scaled_positions([[0.1, 0.2, 0.3], [0.5, 0.1, 0.8], [0.9, 0.6, 0.4]])
    return atoms


def outside_its_cell() -> Atoms:
    """Atoms that have left it, as in a trajectory that nobody wrapped."""
    atoms = mixed(strained_triclinic_crystal())
    shifts = np.random.default_rng(5).integers(-3, 4, (len(atoms), 3))
    atoms.positions += shifts @ atoms.cell.array
    return atoms


def periodic_along(pbc: tuple[bool, bool, bool]) -> Atoms:
    atoms = mixed(bulk("Si", cubic=True))
    atoms.rattle(0.1, seed=3)
    atoms.pbc = pbc
    return atoms


SYSTEMS = {
    **{name: lambda make=make: mixed(make()) for name, make in STRUCTURES.items()},
    "perfect_crystal": lambda: bulk("Si"),
    "perfect_cubic_crystal": lambda: bulk("Si", cubic=True),
    "smaller_than_the_cutoff": smaller_than_the_cutoff,
    "skewed": skewed,
    "outside_its_cell": outside_its_cell,
    "wire": lambda: periodic_along((False, False, True)),
    "layer": lambda: periodic_along((True, False, True)),
    "no_pairs": lambda: Atoms("Si2C", [[0, 0, 0], [9, 0, 0], [0, 9, 0]], cell=[20] * 3, pbc=True),
}


@pytest.mark.parametrize("module", [Continuous, Directional])
@pytest.mark.parametrize("name", SYSTEMS)
def test_all_results_equal_the_model_on_a_plain_periodic_graph(
    tmp_path: Path, name: str, module: Any
) -> None:
    atoms, model = SYSTEMS[name](), module()
    result = compute(load(tmp_path, model), atoms, particle_energies=True, particle_virials=True)
    expected = on_a_periodic_graph(model, atoms)
    assert result.energy == pytest.approx(expected.energy, abs=1e-10)
    for what in ("particle_energies", "forces", "virial", "particle_virials"):
        np.testing.assert_allclose(
            getattr(result, what), getattr(expected, what), rtol=0, atol=1e-10, err_msg=what
        )


@pytest.mark.parametrize("seed", range(12))
def test_random_systems_equal_the_model_on_a_plain_periodic_graph(
    tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 20))
    cell = np.diag(random.uniform(2.5, 7.0, 3)) + np.triu(random.uniform(-4, 4, (3, 3)), 1)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    atoms = Atoms(f"Si{n}", cell=cell @ rotation, pbc=random.random(3) < 0.7)
    atoms.set_scaled_positions(random.random((n, 3)))
    atoms.positions += random.normal(0, 100.0, 3)
    model = Directional()
    result = compute(load(tmp_path, model), mixed(atoms, seed), particle_virials=True)
    expected = on_a_periodic_graph(model, atoms)
    scale = 1e-10 * max(1.0, np.abs(expected.forces).max(), np.abs(expected.virial).max())
    assert result.energy == pytest.approx(expected.energy, abs=scale)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=scale)
    np.testing.assert_allclose(
        result.particle_virials, expected.particle_virials, rtol=0, atol=scale
    )


def test_one_potential_serves_systems_of_all_sizes_in_turn(tmp_path: Path) -> None:
    model = Directional()
    potential = load(tmp_path, model)
    for name in ("cluster", "isolated_atom", "skewed", "no_pairs", "slab", "dimer", "cluster"):
        atoms = SYSTEMS[name]()
        result = compute(potential, atoms)
        expected = on_a_periodic_graph(model, atoms)
        assert result.energy == pytest.approx(expected.energy, abs=1e-10)
        np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-10)


def test_forces_equal_negative_energy_gradient(tmp_path: Path) -> None:
    atoms = mixed(strained_triclinic_crystal())
    potential = load(tmp_path, Directional())
    forces = compute(potential, atoms).forces
    step = 1e-5
    for atom, axis in [(0, 0), (3, 1), (7, 2)]:
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(compute(potential, moved).energy)
        slope = (energies[0] - energies[1]) / (2 * step)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6)


def test_the_virial_is_the_energys_derivative_by_strain(tmp_path: Path) -> None:
    atoms = mixed(strained_triclinic_crystal())
    potential = load(tmp_path, Directional())
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
        slope = (energies[0] - energies[1]) / (2 * step)
        assert virial[index] == pytest.approx(slope, abs=1e-5 * np.abs(virial).max())


def test_a_model_may_give_one_energy_for_all(tmp_path: Path) -> None:
    import torchml_driver

    atoms = mixed(strained_triclinic_crystal())
    potential = load(tmp_path, Summed())
    result = compute(potential, atoms, particle_virials=True)
    expected = on_a_periodic_graph(Summed(), atoms)
    assert result.energy == pytest.approx(expected.energy, abs=1e-10)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        result.particle_virials, expected.particle_virials, rtol=0, atol=1e-10
    )
    with pytest.raises(torchml_driver.Error, match="only their sum"):
        compute(potential, atoms, particle_energies=True)


def test_a_model_in_single_precision_is_right_to_single_precision(tmp_path: Path) -> None:
    """Vectors are rounded, not coordinates: far from the origin, too."""
    atoms = mixed(strained_triclinic_crystal())
    atoms.positions += 1e5
    model = Directional(dtype=torch.float32)
    result = compute(load(tmp_path, model), atoms, particle_virials=True)
    expected = on_a_periodic_graph(Directional(), atoms)
    scale = np.abs(expected.forces).max()
    assert result.energy == pytest.approx(expected.energy, rel=1e-5)
    assert result.energy != expected.energy
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(
        result.particle_virials, expected.particle_virials, rtol=0, atol=1e-3 * scale
    )


@pytest.mark.parametrize("mode", ["auto", "fold", "stage"])
@pytest.mark.parametrize("name", ["slab", "skewed", "cluster", "isolated_atom"])
def test_no_mode_of_kim_changes_anything_in_python(
    tmp_path: Path, name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    atoms, model = SYSTEMS[name](), Directional()
    monkeypatch.setenv("KIM_MODEL_GHOSTS", mode)
    potential = load(tmp_path, model)
    assert potential.influence_distance == pytest.approx(LAYERS * CUTOFF)
    result = compute(potential, atoms)
    expected = on_a_periodic_graph(model, atoms)
    assert result.energy == pytest.approx(expected.energy, abs=1e-10)
    np.testing.assert_allclose(result.forces, expected.forces, rtol=0, atol=1e-10)


def test_the_same_system_gives_the_same_bits(tmp_path: Path) -> None:
    atoms = mixed(strained_triclinic_crystal())
    one, other = load(tmp_path, Directional()), load(tmp_path, Directional())
    results = [compute(one, atoms), compute(other, atoms), compute(one, atoms)]
    assert len({result.energy for result in results}) == 1
    for result in results[1:]:
        np.testing.assert_array_equal(result.forces, results[0].forces)
        np.testing.assert_array_equal(result.virial, results[0].virial)


@pytest.mark.parametrize("name", ["cluster", "skewed", "strained_triclinic_crystal"])
def test_nodes_are_the_atoms_and_edges_come_sorted_by_their_receiver(
    tmp_path: Path, name: str
) -> None:
    from ase.neighborlist import neighbor_list

    atoms = SYSTEMS[name]()
    receivers, senders = neighbor_list("ij", atoms, CUTOFF)

    def told(what: str) -> np.ndarray:
        result = compute(load(tmp_path / what, Edges(what)), atoms, particle_energies=True)
        return np.asarray(result.particle_energies)

    np.testing.assert_array_equal(told("nodes"), len(atoms))
    np.testing.assert_array_equal(told("received"), np.bincount(receivers, minlength=len(atoms)))
    np.testing.assert_array_equal(told("sent"), np.bincount(senders, minlength=len(atoms)))
    np.testing.assert_array_equal(told("mark"), 1)
    assert not told("unsorted").any()
    assert not told("beyond").any()


def test_staged_nodes_are_numbered_ring_by_ring_and_edges_sorted(tmp_path: Path) -> None:
    """As many rings as layers receive; one more sends."""
    atoms = cluster()
    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    near = distances < CUTOFF
    contributing = np.zeros(len(atoms), dtype=int)
    contributing[[3, 9]] = 1
    receives = contributing.astype(bool)
    for _ in range(LAYERS - 1):
        receives = receives | near[receives].any(axis=0)
    nodes = receives | near[receives].any(axis=0)
    lists = (near.sum(1), near.nonzero()[1])

    def told(what: str) -> np.ndarray:
        potential = load(tmp_path / what, Edges(what))
        result = potential.compute_particles(
            np.zeros(len(atoms), dtype=int),
            atoms.positions,
            contributing,
            *lists,
            particle_energies=True,
        )
        return np.asarray(result.particle_energies)

    np.testing.assert_array_equal(told("nodes"), np.where(nodes, nodes.sum(), 0))
    np.testing.assert_array_equal(told("received"), np.where(receives, near.sum(1), 0))
    np.testing.assert_array_equal(told("mark"), contributing)
    assert not told("unsorted").any()


def test_parts_of_a_system_add_up_as_they_do_over_mpi_ranks(tmp_path: Path) -> None:
    atoms = mixed(cluster())
    potential = load(tmp_path, Directional())
    whole = compute(potential, atoms, particle_virials=True)
    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    near = distances < 1.3 * CUTOFF
    codes = np.array([ELEMENTS.index(name) for name in atoms.get_chemical_symbols()])
    parts = [
        potential.compute_particles(
            codes,
            atoms.positions,
            (np.arange(len(atoms)) % 3 == rank).astype(int),
            near.sum(1),
            near.nonzero()[1],
            particle_virials=True,
        )
        for rank in range(3)
    ]
    assert sum(part.energy for part in parts) == pytest.approx(whole.energy, abs=1e-10)
    for what in ("forces", "virial", "particle_virials"):
        total = sum(getattr(part, what) for part in parts)
        np.testing.assert_allclose(total, getattr(whole, what), rtol=0, atol=1e-9, err_msg=what)


def test_ase_gives_stresses_of_atoms(tmp_path: Path) -> None:
    from torchml_driver.ase import TorchMLCalculator

    atoms = mixed(strained_triclinic_crystal())
    atoms.calc = TorchMLCalculator(write_edge_model(tmp_path, Directional()))
    expected = on_a_periodic_graph(Directional(), atoms)
    volume = atoms.get_volume()
    np.testing.assert_allclose(
        atoms.get_stresses(), expected.particle_virials / volume, rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(atoms.get_stress(), expected.virial / volume, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (edge_parameters("model.pt", layers=0), "number of graph layers.* 1 "),
        (edge_parameters("model.pt", layers="model.pt"), "number of graph layers"),
        (
            edge_parameters("model.pt", settings="returns_edge_gradient True"),
            "'returns forces' must be True",
        ),
        (edge_parameters("model.pt", settings="edge_receiver_row 0"), "preprocessing Graph"),
        (edge_parameters("model.pt", settings="drop_unused_particles True"), "preprocessing Graph"),
    ],
)
def test_a_parameter_file_that_does_not_fit_says_where(
    tmp_path: Path, text: str, message: str
) -> None:
    import torchml_driver

    (tmp_path / "model.pt").write_bytes(torchscript(Continuous()))
    (tmp_path / "model.param").write_text(text)
    with pytest.raises(torchml_driver.Error, match=message):
        torchml_driver.Potential(tmp_path)


def test_atomic_numbers_may_be_the_species_codes(tmp_path: Path) -> None:
    class OfNumbers(Continuous):
        def forward(self, species, edge_index, edge_vectors, contributing):  # type: ignore[no-untyped-def]
            codes = (species == 6).long()
            return self.energies(codes, edge_index, edge_vectors) * contributing

    atoms = mixed(strained_triclinic_crystal())
    potential = load(tmp_path, OfNumbers(), settings="atomic_numbers True")
    expected = on_a_periodic_graph(Continuous(), atoms)
    assert compute(potential, atoms).energy == pytest.approx(expected.energy, abs=1e-10)


def test_a_model_that_ignores_its_edges_is_told_so(tmp_path: Path) -> None:
    import torchml_driver

    class Detached(Continuous):
        def forward(self, species, edge_index, edge_vectors, contributing):  # type: ignore[no-untyped-def]
            return self.energies(species, edge_index, edge_vectors.detach()) * contributing

    with pytest.raises(torchml_driver.Error, match="does not depend on its edge_vectors"):
        compute(load(tmp_path, Detached()), mixed(cluster()))
