"""Models on edges through KIM-API: by ASE, and by a simulator that spells everything out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.kim import KIM

from tests.support import DriverEnvironment, install_kim_model
from tests.support.edge_models import (
    CUTOFF,
    ELEMENTS,
    LAYERS,
    Directional,
    WithEdgeGradient,
    WithForces,
    edge_parameters,
    on_a_periodic_graph,
)
from tests.support.handed_over import hand_over
from tests.support.kim_simulator import EVERYTHING, Particles, Simulator
from tests.support.structures import (
    cluster,
    isolated_atom,
    primitive_cell,
    slab,
    strained_triclinic_crystal,
)
from tests.support.torch_models import torchscript

pytestmark = [pytest.mark.usefixtures("in_collection"), pytest.mark.sanitize]

MODEL = "TorchML_Directional_edges"
GRADIENT, FORCES = "TorchML_edge_gradient", "TorchML_forces_on_nodes"
MODES = ("auto", "fold", "stage")


@pytest.fixture(scope="module", autouse=True)
def installed(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Directional:
    model = Directional()
    files = {"m.param": edge_parameters("m.pt").encode(), "m.pt": torchscript(model)}
    install_kim_model(driver_environment.folder, MODEL, files, tmp_path_factory.mktemp("edges"))
    for name, module, setting in (
        (GRADIENT, WithEdgeGradient, "returns_edge_gradient True"),
        (FORCES, WithForces, ""),
    ):
        text = edge_parameters("m.pt", returns_forces=True, settings=setting)
        files = {"m.param": text.encode(), "m.pt": torchscript(module())}
        install_kim_model(driver_environment.folder, name, files, tmp_path_factory.mktemp("edges"))
    return model


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KIM_MODEL_GHOSTS", request.param)
    return str(request.param)


def mixture(make: Callable[[], Atoms]) -> Atoms:
    atoms = make()
    atoms.symbols = np.random.default_rng(1).choice(ELEMENTS, len(atoms))
    return atoms


def particles_of(atoms: Atoms, reach: float) -> Particles:
    """In any order."""
    system = hand_over(atoms, reach, 1.1 * CUTOFF, np.random.default_rng(2))
    starts = np.concatenate([[0], np.cumsum(system.counts)])
    return Particles(
        species=[atoms.get_chemical_symbols()[k] for k in system.owner],
        coordinates=system.coordinates,
        contributing=system.contributing.astype(np.int32),
        neighbours=[system.neighbours[a:b].astype(np.int32) for a, b in itertools.pairwise(starts)],
        image_of=system.owner,
    )


def test_kim_learns_how_far_particles_are_wanted(mode: str) -> None:
    simulator = Simulator(MODEL)
    layers = 1 if mode == "fold" else LAYERS
    assert simulator.influence_distance == pytest.approx(layers * CUTOFF)
    cutoffs, only_contributing = simulator.neighbour_hints
    np.testing.assert_allclose(cutoffs, [CUTOFF])
    assert list(only_contributing) == [int(mode == "fold")]


@pytest.mark.parametrize(
    "make", [cluster, isolated_atom, primitive_cell, slab, strained_triclinic_crystal]
)
def test_ase_gives_what_the_model_gives(
    installed: Directional, mode: str, make: Callable[[], Atoms]
) -> None:
    atoms = mixture(make)
    atoms.calc = KIM(MODEL)
    for _ in range(2):
        expected = on_a_periodic_graph(installed, atoms)
        assert atoms.get_potential_energy() == pytest.approx(expected.energy, abs=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), expected.forces, rtol=0, atol=1e-10)
        if atoms.cell.rank == 3:
            stress = expected.virial / atoms.get_volume()
            np.testing.assert_allclose(atoms.get_stress(), stress, rtol=0, atol=1e-12)
        atoms.rattle(0.02, seed=6)  # less than the lists' skin


@pytest.mark.parametrize(
    ("length", "energy", "angstrom", "ev"),
    [
        ("A", "eV", 1.0, 1.0),
        ("A", "kcal_mol", 1.0, units.kcal / units.mol),
        ("nm", "Hartree", 10.0, units.Hartree),
        ("m", "J", 1e10, 1.0 / units._e),
        ("Bohr", "erg", units.Bohr, 1e-7 / units._e),
    ],
)
def test_every_unit_system_gives_the_same(
    installed: Directional, mode: str, length: str, energy: str, angstrom: float, ev: float
) -> None:
    atoms = mixture(strained_triclinic_crystal)
    expected = on_a_periodic_graph(installed, atoms)
    simulator = Simulator(MODEL, length, energy)
    assert simulator.gives_particle_virials()
    particles = particles_of(atoms, (1 if mode == "fold" else LAYERS) * 1.1 * CUTOFF)
    found = simulator.compute(particles.scaled(1.0 / angstrom), (*EVERYTHING, "particle_virials"))
    forces = ev / angstrom * particles.on_atoms(found.forces)
    np.testing.assert_allclose(forces, expected.forces, rtol=1e-6, atol=1e-6)
    assert ev * found.energy == pytest.approx(expected.energy, rel=1e-6)
    np.testing.assert_allclose(ev * found.virial, expected.virial, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        found.particle_virials.sum(axis=0), found.virial, rtol=1e-9, atol=1e-9 / ev
    )
    if mode == "stage":  # images receive, too, and have parts
        return
    parts = ev * particles.on_atoms(found.particle_virials)
    np.testing.assert_allclose(parts, expected.particle_virials, rtol=1e-6, atol=1e-6)
    assert not found.particle_virials[particles.contributing == 0].any()


def test_staged_parts_of_the_virial_add_up_over_images(
    installed: Directional, monkeypatch: pytest.MonkeyPatch
) -> None:
    atoms = mixture(strained_triclinic_crystal)
    expected = on_a_periodic_graph(installed, atoms)
    monkeypatch.setenv("KIM_MODEL_GHOSTS", "stage")
    particles = particles_of(atoms, LAYERS * 1.1 * CUTOFF)
    found = Simulator(MODEL).compute(particles, ("energy", "particle_virials"))
    parts = particles.on_atoms(found.particle_virials)
    np.testing.assert_allclose(parts, expected.particle_virials, rtol=0, atol=1e-9)


def test_a_changed_cutoff_is_followed(mode: str, installed: Directional) -> None:
    """A simulator may set the published parameter; the model's own switch stays."""
    simulator = Simulator(MODEL)
    simulator.model.set_parameter(0, 0, 0.8 * CUTOFF)
    simulator.model.clear_then_refresh()
    layers = 1 if mode == "fold" else LAYERS
    assert simulator.influence_distance == pytest.approx(0.8 * layers * CUTOFF)


def test_what_fold_cannot_do_stands_in_kims_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIM_MODEL_GHOSTS", "fold")
    particles = particles_of(mixture(cluster), CUTOFF)
    particles.contributing[::2] = 0
    with pytest.raises(RuntimeError):
        Simulator(MODEL).compute(particles)
    log = Path("kim.log").read_text()
    assert "KIM_MODEL_GHOSTS is fold" in log
    assert "is not a periodic image" in log


def test_a_model_that_returns_its_gradient_gives_everything(
    installed: Directional, mode: str
) -> None:
    atoms = mixture(strained_triclinic_crystal)
    expected = on_a_periodic_graph(installed, atoms)
    particles = particles_of(atoms, (1 if mode == "fold" else LAYERS) * 1.1 * CUTOFF)
    simulator = Simulator(GRADIENT)
    assert simulator.gives_particle_virials()
    found = simulator.compute(particles, (*EVERYTHING, "particle_virials"))
    assert found.energy == pytest.approx(expected.energy, abs=1e-10)
    forces = particles.on_atoms(found.forces)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.virial, expected.virial, rtol=0, atol=1e-9)
    parts = particles.on_atoms(found.particle_virials)
    np.testing.assert_allclose(parts, expected.particle_virials, rtol=0, atol=1e-9)


def test_forces_on_nodes_give_a_virial_unless_images_are_folded(
    installed: Directional, mode: str
) -> None:
    """Where they are, a request for it is refused, and never answered wrongly."""
    atoms = mixture(strained_triclinic_crystal)
    expected = on_a_periodic_graph(installed, atoms)
    particles = particles_of(atoms, (1 if mode == "fold" else LAYERS) * 1.1 * CUTOFF)
    simulator = Simulator(FORCES)
    assert not simulator.gives_particle_virials()
    found = simulator.compute(particles, ("energy", "forces"))
    assert found.energy == pytest.approx(expected.energy, abs=1e-10)
    forces = particles.on_atoms(found.forces)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-9)
    if mode == "fold":
        with pytest.raises(RuntimeError):
            simulator.compute(particles)
        assert "returns forces on nodes" in Path("kim.log").read_text()
        return
    virial = simulator.compute(particles).virial
    np.testing.assert_allclose(virial, expected.virial, rtol=0, atol=1e-9)
