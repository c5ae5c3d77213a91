"""Message-passing models through KIM-API, with a simulator that sets every input explicitly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.kim import KIM

from tests.support import DriverEnvironment, install_kim_model
from tests.support.graph_models import CUTOFF, LAYERS, Messages, graph_parameters, on_a_plain_graph
from tests.support.kim_simulator import Particles, Simulator
from tests.support.structures import cluster, primitive_cell, slab, strained_triclinic_crystal
from tests.support.torch_models import torchscript

MODEL = "TorchML_Messages"
MIXTURE = "TorchML_Messages_in_a_mixture"
ELEMENTS = ["Si", "C", "O", "Al", "Mg"]
FEWER = "edge_receiver_row 0\ndrop_unused_particles True"


@pytest.fixture(scope="module")
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Messages:
    model = Messages()
    files = {"m.param": graph_parameters("m.pt").encode(), "m.pt": torchscript(model)}
    work = tmp_path_factory.mktemp("messages")
    install_kim_model(driver_environment.folder, MODEL, files, work)
    return model


@pytest.fixture(scope="module")
def mixed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Messages:
    """Supports five elements, and requests as few edges and particles as possible."""
    model = Messages(len(ELEMENTS))
    text = graph_parameters("m.pt", elements=" ".join(ELEMENTS), settings=FEWER)
    files = {"m.param": text.encode(), "m.pt": torchscript(model)}
    work = tmp_path_factory.mktemp("mixture")
    install_kim_model(driver_environment.folder, MIXTURE, files, work)
    return model


def mixture(make: Callable[[], Atoms]) -> Atoms:
    atoms = make()
    atoms.symbols = np.random.default_rng(1).choice(ELEMENTS, len(atoms))
    return atoms


def particles_with_ghosts(atoms: Atoms, skin: float) -> Particles:
    """All images that any layer reaches, each with its neighbour list, in any order."""
    reach = LAYERS * CUTOFF
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    counts = np.where(atoms.pbc, np.ceil(reach / heights), 0).astype(int)
    shifts = np.array(list(np.ndindex(*(2 * counts + 1)))) - counts
    shifts = shifts[np.argsort(shifts.any(axis=1), kind="stable")]  # the cell itself first
    everywhere = (atoms.positions + (shifts @ atoms.cell.array)[:, None]).reshape(-1, 3)
    distances = np.linalg.norm(everywhere[:, None] - atoms.positions, axis=2).min(axis=1)
    (near,) = np.nonzero(distances < reach)
    images = atoms[near % len(atoms)]
    images.set_positions(everywhere[near])
    images.pbc = False
    particles = open_particles(
        images, (np.arange(len(images)) < len(atoms)).astype(np.int32), CUTOFF + skin
    )
    particles.image_of = near % len(atoms)
    return particles.reordered(np.random.default_rng(6).permutation(len(images)))


def open_particles(atoms: Atoms, contributing: np.ndarray, reach: float) -> Particles:
    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    return Particles(
        species=atoms.get_chemical_symbols(),
        coordinates=atoms.positions,
        contributing=contributing,
        neighbours=[np.flatnonzero(row < reach).astype(np.int32) for row in distances],
        image_of=np.arange(len(atoms)),
    )


@pytest.mark.usefixtures("in_collection")
def test_kim_learns_how_far_a_graph_reaches(installed: Messages) -> None:
    simulator = Simulator(MODEL)
    assert simulator.influence_distance == pytest.approx(LAYERS * CUTOFF)
    cutoffs, only_contributing = simulator.neighbour_hints
    np.testing.assert_allclose(cutoffs, [CUTOFF])
    assert list(only_contributing) == [0]


@pytest.mark.usefixtures("in_collection")
def test_contributing_particles_may_come_in_any_order(installed: Messages) -> None:
    atoms = cluster()
    contributing = (np.arange(len(atoms)) < 6).astype(np.int32)
    particles = open_particles(atoms, contributing, 1.5 * CUTOFF)
    simulator = Simulator(MODEL)
    plain = simulator.compute(particles)
    order = np.random.default_rng(8).permutation(len(atoms))
    mixed = simulator.compute(particles.reordered(order))
    assert plain.forces is not None
    assert plain.virial is not None
    assert mixed.energy == pytest.approx(plain.energy, abs=1e-10)
    np.testing.assert_allclose(mixed.forces, plain.forces[order], rtol=0, atol=1e-10)
    np.testing.assert_allclose(mixed.virial, plain.virial, rtol=0, atol=1e-9)


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize("skin", [0.0, 2.5])
@pytest.mark.parametrize("make", [primitive_cell, strained_triclinic_crystal, slab])
def test_ghosts_among_the_atoms_change_nothing(
    mixed: Messages, make: Callable[[], Atoms], skin: float
) -> None:
    """A periodic mixture, with its atoms scattered among their images."""
    atoms = mixture(make)
    particles = particles_with_ghosts(atoms, skin)
    result = Simulator(MIXTURE).compute(particles)
    assert result.forces is not None
    assert result.particle_energies is not None
    energies, forces = on_a_plain_graph(mixed, atoms, ELEMENTS)
    assert result.energy == pytest.approx(energies.sum(), abs=1e-10)
    np.testing.assert_allclose(particles.on_atoms(result.forces), forces, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        particles.on_atoms(result.particle_energies), energies, rtol=0, atol=1e-10
    )
    assert not result.particle_energies[particles.contributing == 0].any()


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize("make", [primitive_cell, cluster, strained_triclinic_crystal])
def test_ase_gives_what_the_model_gives_for_a_mixture(
    mixed: Messages, make: Callable[[], Atoms]
) -> None:
    atoms = mixture(make)
    atoms.calc = KIM(MIXTURE)
    energies, forces = on_a_plain_graph(mixed, atoms, ELEMENTS)
    assert atoms.get_potential_energy() == pytest.approx(energies.sum(), abs=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("in_collection")
@pytest.mark.parametrize("make", [cluster, slab, strained_triclinic_crystal])
def test_ase_gives_what_the_model_gives(installed: Messages, make: Callable[[], Atoms]) -> None:
    atoms = make()
    atoms.calc = KIM(MODEL)
    energies, forces = on_a_plain_graph(installed, atoms, ["Si"])
    assert atoms.get_potential_energy() == pytest.approx(energies.sum(), abs=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("in_collection")
def test_a_system_of_one_particle_has_its_energy(installed: Messages) -> None:
    alone = Atoms("Si", positions=[[1.0, 2.0, 3.0]])
    result = Simulator(MODEL).compute(open_particles(alone, np.ones(1, dtype=np.int32), CUTOFF))
    energies, _ = on_a_plain_graph(installed, alone, ["Si"])
    assert result.energy == pytest.approx(energies.sum(), abs=1e-12)
    np.testing.assert_array_equal(result.forces, np.zeros((1, 3)))
