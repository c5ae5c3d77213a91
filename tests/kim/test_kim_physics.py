"""The driver in a KIM simulator reproduces the published potential.

torch is imported first: with it in the process, drivers can deadlock on Python's lock.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch  # noqa: F401
from ase import Atoms, units

from tests.support import DriverEnvironment
from tests.support.kim_simulator import EVERYTHING, Particles, Simulator
from tests.support.structures import (
    CUTOFF,
    ENERGY_TOLERANCE,
    EXAMPLE_MODEL,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    STRUCTURES,
    cluster,
    isolated_atom,
    rattled_crystal,
    strained_triclinic_crystal,
)

pytestmark = pytest.mark.usefixtures("in_collection")

structures = pytest.mark.parametrize("make", STRUCTURES.values(), ids=STRUCTURES.keys())


@structures
def test_every_result_equals_that_of_the_published_potential(make: Callable[[], Atoms]) -> None:
    particles = Particles.of(make(), CUTOFF)
    ours = Simulator(EXAMPLE_MODEL).compute(particles)
    published = Simulator(REFERENCE_MODEL).compute(particles)
    assert ours.energy == pytest.approx(published.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(ours.forces, published.forces, rtol=0, atol=FORCE_TOLERANCE)
    np.testing.assert_allclose(
        ours.particle_energies, published.particle_energies, rtol=0, atol=ENERGY_TOLERANCE
    )
    np.testing.assert_allclose(ours.virial, published.virial, rtol=0, atol=1e-8)


def test_energy_of_the_documented_crystal() -> None:
    particles = Particles.of(rattled_crystal(), CUTOFF)
    result = Simulator(EXAMPLE_MODEL).compute(particles)
    assert result.energy == pytest.approx(-261.3538177342696, abs=ENERGY_TOLERANCE)


@pytest.mark.parametrize("skin", [0.3, 2.0, 5.0])
def test_neighbours_beyond_the_cutoff_change_nothing(skin: float) -> None:
    atoms = rattled_crystal()
    simulator = Simulator(EXAMPLE_MODEL)
    exact = Particles.of(atoms, CUTOFF)
    padded = Particles.of(atoms, CUTOFF, skin)
    without, with_skin = simulator.compute(exact), simulator.compute(padded)
    assert with_skin.energy == pytest.approx(without.energy, abs=1e-11)
    np.testing.assert_allclose(
        padded.on_atoms(with_skin.forces), exact.on_atoms(without.forces), rtol=0, atol=1e-12
    )


def orders(n: int, n_contributing: int) -> dict[str, np.ndarray]:
    return {
        "ghosts first": np.r_[n_contributing:n, 0:n_contributing],
        "ghosts in the middle": np.r_[0:5, n_contributing:n, 5:n_contributing],
        "shuffled": np.random.default_rng(1).permutation(n),
    }


@pytest.mark.parametrize("order", ["ghosts first", "ghosts in the middle", "shuffled"])
def test_particles_may_come_in_any_order(order: str) -> None:
    atoms = strained_triclinic_crystal()
    particles = Particles.of(atoms, CUTOFF, skin=1.0)
    permutation = orders(len(particles.species), len(atoms))[order]
    simulator = Simulator(EXAMPLE_MODEL)
    usual = simulator.compute(particles)
    moved = simulator.compute(particles.reordered(permutation))
    assert moved.energy == pytest.approx(usual.energy, abs=1e-11)
    np.testing.assert_allclose(moved.forces, usual.forces[permutation], rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        moved.particle_energies, usual.particle_energies[permutation], rtol=0, atol=1e-12
    )


def test_particles_that_do_not_contribute_act_and_have_no_energy() -> None:
    """As at the boundary of a domain: every third atom of a cluster belongs to another rank."""
    particles = Particles.of(cluster(), CUTOFF)
    particles.contributing[::3] = 0
    ours = Simulator(EXAMPLE_MODEL).compute(particles)
    published = Simulator(REFERENCE_MODEL).compute(particles)
    assert ours.energy == pytest.approx(published.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(ours.forces, published.forces, rtol=0, atol=FORCE_TOLERANCE)
    assert not ours.particle_energies[::3].any()
    assert ours.particle_energies.sum() == pytest.approx(ours.energy, abs=1e-11)
    assert np.abs(ours.forces[::3]).max() > 0.1


def test_a_domain_without_own_particles_has_no_energy_and_no_forces() -> None:
    particles = Particles.of(cluster(), CUTOFF)
    particles.contributing[:] = 0
    result = Simulator(EXAMPLE_MODEL).compute(particles)
    assert result.energy == 0.0
    assert not result.forces.any()
    assert not result.particle_energies.any()
    assert not result.virial.any()


def test_an_isolated_atom_has_no_energy_and_no_forces() -> None:
    result = Simulator(EXAMPLE_MODEL).compute(Particles.of(isolated_atom(), CUTOFF))
    assert result.energy == 0.0
    assert not result.forces.any()


@pytest.mark.parametrize(
    "want",
    [
        ("energy",),
        ("forces",),
        ("particle_energies",),
        ("virial",),
        ("energy", "virial"),
        ("energy", "forces"),
        (),
    ],
    ids=lambda want: "+".join(want) or "nothing",
)
def test_a_result_does_not_depend_on_what_else_is_asked_for(want: tuple[str, ...]) -> None:
    particles = Particles.of(rattled_crystal(), CUTOFF)
    simulator = Simulator(EXAMPLE_MODEL)
    everything = simulator.compute(particles, EVERYTHING)
    some = simulator.compute(particles, want)
    for name in want:
        np.testing.assert_allclose(
            getattr(some, name), getattr(everything, name), rtol=0, atol=1e-11
        )


def test_one_model_computes_systems_of_different_sizes_in_turn() -> None:
    simulator, published = Simulator(EXAMPLE_MODEL), Simulator(REFERENCE_MODEL)
    for make in (*STRUCTURES.values(), *reversed(STRUCTURES.values())):
        particles = Particles.of(make(), CUTOFF)
        energy = simulator.compute(particles).energy
        assert energy == pytest.approx(published.compute(particles).energy, abs=ENERGY_TOLERANCE), (
            make.__name__
        )


def test_two_models_live_beside_each_other() -> None:
    first, second = Simulator(EXAMPLE_MODEL), Simulator(EXAMPLE_MODEL)
    crystal, pair = Particles.of(rattled_crystal(), CUTOFF), Particles.of(cluster(), CUTOFF)
    expected = first.compute(crystal).energy
    second.compute(pair)
    assert first.compute(crystal).energy == expected
    del first
    assert second.compute(crystal).energy == expected


# One unit in ASE's units (Å, eV).
LENGTHS = {"A": 1.0, "Bohr": units.Bohr, "cm": 1e8, "m": 1e10, "nm": 10.0}
ENERGIES = {
    "amu_A2_per_ps2": units._amu * 1e4 / units._e,
    "erg": 1e-7 / units._e,
    "eV": 1.0,
    "Hartree": units.Hartree,
    "J": 1.0 / units._e,
    "kcal_mol": units.kcal / units.mol,
}


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("length", LENGTHS)
def test_every_unit_system_gives_the_same_physics(length: str, energy: str) -> None:
    particles = Particles.of(rattled_crystal(), CUTOFF)
    expected = Simulator(EXAMPLE_MODEL).compute(particles)
    simulator = Simulator(EXAMPLE_MODEL, length, energy)
    result = simulator.compute(particles.scaled(1.0 / LENGTHS[length]))
    # The physical constants are from different years.
    same = {"rtol": 1e-6, "atol": 1e-6}
    ev, angstrom = ENERGIES[energy], LENGTHS[length]
    assert simulator.influence_distance * angstrom == pytest.approx(CUTOFF, rel=1e-7)
    cutoffs, _ = simulator.neighbour_hints
    assert cutoffs[0] == simulator.influence_distance
    np.testing.assert_allclose(result.energy * ev, expected.energy, **same)
    np.testing.assert_allclose(result.particle_energies * ev, expected.particle_energies, **same)
    np.testing.assert_allclose(result.forces * ev / angstrom, expected.forces, **same)
    np.testing.assert_allclose(result.virial * ev, expected.virial, **same)


def test_neighbours_of_ghosts_are_not_requested() -> None:
    cutoffs, only_contributing = Simulator(EXAMPLE_MODEL).neighbour_hints
    assert list(cutoffs) == [CUTOFF]
    assert list(only_contributing) == [1]


def test_the_model_knows_its_elements_and_no_others() -> None:
    simulator = Simulator(EXAMPLE_MODEL)
    assert simulator.species_code("Si") == 0
    assert simulator.species_code("C") is None


def test_species_codes_are_atomic_numbers_where_the_user_wants_that(
    in_collection: DriverEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", "yes")
    assert Simulator(EXAMPLE_MODEL).species_code("Si") == 14
