"""The Python module reproduces the published potential, without KIM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.stress import full_3x3_to_voigt_6_stress

from tests.support import DriverEnvironment
from tests.support.kim_simulator import Particles, Simulator
from tests.support.structures import (
    CUTOFF,
    ENERGY_TOLERANCE,
    EXAMPLE_MODEL,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    STRUCTURES,
    cluster,
    primitive_cell,
    rattled_crystal,
    slab,
    strained_triclinic_crystal,
)

structures = pytest.mark.parametrize("make", STRUCTURES.values(), ids=STRUCTURES.keys())


@pytest.fixture
def potential(in_collection: DriverEnvironment) -> Any:
    import torchml_driver

    return torchml_driver.Potential(in_collection.packed)


def compute(potential: Any, atoms: Atoms, **options: bool) -> Any:
    return potential.compute(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc, **options
    )


@structures
def test_every_result_equals_that_of_the_published_potential(
    make: Callable[[], Atoms], potential: Any
) -> None:
    atoms = make()
    ours = compute(potential, atoms, particle_energies=True)
    particles = Particles.of(atoms, CUTOFF)
    published = Simulator(REFERENCE_MODEL).compute(particles)
    assert ours.energy == pytest.approx(published.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(
        ours.forces, particles.on_atoms(published.forces), rtol=0, atol=FORCE_TOLERANCE
    )
    np.testing.assert_allclose(
        ours.particle_energies,
        published.particle_energies[: len(atoms)],
        rtol=0,
        atol=ENERGY_TOLERANCE,
    )
    np.testing.assert_allclose(ours.virial, published.virial, rtol=0, atol=1e-8)


@structures
def test_kim_and_python_agree_to_the_last_bit(make: Callable[[], Atoms], potential: Any) -> None:
    particles = Particles.of(make(), CUTOFF, skin=0.5)
    simulator = Simulator(EXAMPLE_MODEL)
    owners = particles.contributing.nonzero()[0]
    arrays = (
        np.zeros(len(particles.species), dtype=int),
        particles.coordinates,
        particles.contributing,
        np.array([len(particles.neighbours[i]) for i in owners]),
        np.concatenate([particles.neighbours[i] for i in owners]),
    )
    for _ in range(4):  # TorchScript specialises a model during its first calls
        in_kim = simulator.compute(particles)
        in_python = potential.compute_particles(*arrays, particle_energies=True)
    assert in_python.energy == in_kim.energy
    np.testing.assert_array_equal(in_python.forces, in_kim.forces)
    np.testing.assert_array_equal(in_python.particle_energies, in_kim.particle_energies)
    np.testing.assert_array_equal(in_python.virial, in_kim.virial)


def test_a_potential_says_what_it_is(potential: Any) -> None:
    assert potential.elements == ["Si"]
    assert potential.cutoff == CUTOFF
    assert potential.influence_distance == CUTOFF


@pytest.mark.parametrize("make", [strained_triclinic_crystal, slab, cluster, primitive_cell])
def test_forces_equal_negative_energy_gradient(make: Callable[[], Atoms], potential: Any) -> None:
    atoms = make()
    forces = compute(potential, atoms).forces
    step = 1e-4
    for index, axis in ((0, 0), (1, 1), (len(atoms) - 1, 2), (len(atoms) // 2, 0)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[index, axis] += sign * step
            energies.append(compute(potential, moved, forces=False).energy)
        slope = (energies[0] - energies[1]) / (2 * step)
        assert forces[index, axis] == pytest.approx(-slope, abs=2e-5)


@pytest.mark.parametrize("make", [strained_triclinic_crystal, primitive_cell, slab])
def test_virial_equals_energy_derivative_by_strain(
    make: Callable[[], Atoms], potential: Any
) -> None:
    atoms = make()
    virial = compute(potential, atoms).virial
    step = 1e-5
    derivative = np.zeros((3, 3))
    for row in range(3):
        for column in range(3):
            energies = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[row, column] += sign * step
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
                energies.append(compute(potential, strained, forces=False).energy)
            derivative[row, column] = (energies[0] - energies[1]) / (2 * step)
    np.testing.assert_allclose(virial, full_3x3_to_voigt_6_stress(derivative), rtol=0, atol=1e-5)


def test_atoms_outside_the_cell_are_the_same_atoms(potential: Any) -> None:
    atoms = strained_triclinic_crystal()
    wrapped = compute(potential, atoms)
    shifts = np.random.default_rng(3).integers(-2, 3, size=(len(atoms), 3))
    atoms.positions += shifts @ atoms.cell.array
    unwrapped = compute(potential, atoms)
    assert unwrapped.energy == pytest.approx(wrapped.energy, abs=1e-10)
    np.testing.assert_allclose(unwrapped.forces, wrapped.forces, rtol=0, atol=1e-10)
    np.testing.assert_allclose(unwrapped.virial, wrapped.virial, rtol=0, atol=1e-9)


def test_a_supercell_has_a_multiple_of_the_energy(potential: Any) -> None:
    one = compute(potential, bulk("Si", a=5.3))
    many = compute(potential, bulk("Si", a=5.3) * (3, 2, 4))
    assert many.energy == pytest.approx(24 * one.energy, abs=1e-9)


def test_energy_does_not_change_when_the_crystal_is_moved_or_turned(potential: Any) -> None:
    atoms = strained_triclinic_crystal()
    energy = compute(potential, atoms, forces=False).energy
    atoms.translate([0.3, -1.7, 12.0])
    atoms.rotate(37.0, (1, 2, 3), rotate_cell=True)
    assert compute(potential, atoms, forces=False).energy == pytest.approx(energy, abs=1e-9)


def test_forces_on_all_atoms_add_up_to_nothing(potential: Any) -> None:
    forces = compute(potential, rattled_crystal()).forces
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-11)


def test_species_may_be_symbols_or_atomic_numbers(potential: Any) -> None:
    atoms = cluster()
    by_number = potential.compute(atoms.numbers, atoms.positions)
    by_symbol = potential.compute(atoms.get_chemical_symbols(), atoms.positions)
    assert by_number.energy == pytest.approx(by_symbol.energy, abs=1e-11)
    np.testing.assert_allclose(by_number.forces, by_symbol.forces, rtol=0, atol=1e-11)


def test_what_was_not_asked_for_is_not_there(potential: Any) -> None:
    result = compute(potential, cluster(), forces=False)
    assert result.forces is None
    assert result.virial is None
    assert result.particle_energies is None
