"""Message-passing models through KIM-API, with a simulator that spells everything out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from tests.graph_models import CUTOFF, LAYERS, Messages, graph_parameters, on_a_plain_graph
from tests.kim_simulator import Particles, Simulator
from tests.structures import cluster, slab, strained_triclinic_crystal
from tests.support import DriverEnvironment, install_kim_model
from tests.torch_models import torchscript

MODEL = "TorchML_Messages"


@pytest.fixture(scope="module")
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Messages:
    model = Messages()
    files = {"m.param": graph_parameters("m.pt").encode(), "m.pt": torchscript(model)}
    work = tmp_path_factory.mktemp("messages")
    install_kim_model(driver_environment.folder, MODEL, files, work)
    return model


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
@pytest.mark.parametrize("make", [cluster, slab, strained_triclinic_crystal])
def test_ase_gives_what_the_model_gives(installed: Messages, make: object) -> None:
    from ase.calculators.kim import KIM

    atoms = make()  # type: ignore[operator]
    atoms.calc = KIM(MODEL)
    energies, forces = on_a_plain_graph(installed, atoms, ["Si"])
    assert atoms.get_potential_energy() == pytest.approx(energies.sum(), abs=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("in_collection")
def test_a_system_of_one_particle_has_its_energy(installed: Messages, tmp_path: Path) -> None:
    alone = Atoms("Si", positions=[[1.0, 2.0, 3.0]])
    result = Simulator(MODEL).compute(open_particles(alone, np.ones(1, dtype=np.int32), CUTOFF))
    energies, _ = on_a_plain_graph(installed, alone, ["Si"])
    assert result.energy == pytest.approx(energies.sum(), abs=1e-12)
    np.testing.assert_array_equal(result.forces, np.zeros((1, 3)))
