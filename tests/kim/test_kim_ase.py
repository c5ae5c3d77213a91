"""ASE's KIM calculator with the driver."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch  # noqa: F401 - first, as in a script that trains models
from ase import Atoms, units
from ase.calculators.kim import KIM
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from tests.support.structures import (
    ENERGY_TOLERANCE,
    EXAMPLE_MODEL,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    STRUCTURES,
    cluster,
    rattled_crystal,
)

pytestmark = pytest.mark.usefixtures("in_collection")


@pytest.mark.parametrize("make", STRUCTURES.values(), ids=STRUCTURES.keys())
def test_energy_and_forces_equal_the_published_potential(make: Callable[[], Atoms]) -> None:
    ours, published = make(), make()
    ours.calc, published.calc = KIM(EXAMPLE_MODEL), KIM(REFERENCE_MODEL)
    assert ours.get_potential_energy() == pytest.approx(
        published.get_potential_energy(), abs=ENERGY_TOLERANCE
    )
    np.testing.assert_allclose(
        ours.get_forces(), published.get_forces(), rtol=0, atol=FORCE_TOLERANCE
    )


@pytest.mark.parametrize("released", [False, True], ids=["lock held", "lock released"])
@pytest.mark.parametrize("ase_neigh", [False, True], ids=["kimpy lists", "ASE lists"])
def test_python_may_hold_its_lock_during_the_call_or_release_it(
    released: bool, ase_neigh: bool
) -> None:
    if released and ase_neigh:
        pytest.skip("ASE's lists are Python: their callback needs the lock")
    atoms = rattled_crystal()
    atoms.calc = KIM(EXAMPLE_MODEL, options={"release_GIL": released, "ase_neigh": ase_neigh})
    assert atoms.get_potential_energy() == pytest.approx(-261.3538177342696, abs=ENERGY_TOLERANCE)
    assert np.abs(atoms.get_forces()).max() == pytest.approx(5.903617675445, abs=FORCE_TOLERANCE)


def test_stress_equals_the_published_potential() -> None:
    ours, published = rattled_crystal(), rattled_crystal()
    ours.calc, published.calc = KIM(EXAMPLE_MODEL), KIM(REFERENCE_MODEL)
    np.testing.assert_allclose(ours.get_stress(), published.get_stress(), rtol=0, atol=1e-11)


def test_molecular_dynamics_follows_the_published_potential() -> None:
    ends = []
    for model in (EXAMPLE_MODEL, REFERENCE_MODEL):
        atoms = rattled_crystal()
        atoms.calc = KIM(model)
        atoms.set_velocities(np.random.default_rng(1).normal(scale=0.05, size=(len(atoms), 3)))
        VelocityVerlet(atoms, 1.0 * units.fs).run(40)
        ends.append(atoms)
    ours, published = ends
    np.testing.assert_allclose(ours.positions, published.positions, rtol=0, atol=1e-9)
    assert ours.get_total_energy() == pytest.approx(published.get_total_energy(), abs=1e-8)


def test_a_cluster_relaxes() -> None:
    atoms = cluster()
    atoms.calc = KIM(EXAMPLE_MODEL)
    before = atoms.get_potential_energy()
    BFGS(atoms, logfile=None).run(fmax=0.02, steps=300)
    assert atoms.get_potential_energy() < before - 1.0
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() <= 0.02
