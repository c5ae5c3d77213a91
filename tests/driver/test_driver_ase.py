"""ASE without KIM: the Python module's calculator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.kim import KIM
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from tests.structures import (
    ENERGY_TOLERANCE,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
    STRUCTURES,
    cluster,
    rattled_crystal,
)
from tests.support import SANITIZER_SETTINGS, DriverEnvironment


@pytest.mark.parametrize("make", STRUCTURES.values(), ids=STRUCTURES.keys())
def test_energy_and_forces_equal_the_published_potential(
    make: Callable[[], Atoms], in_collection: DriverEnvironment
) -> None:
    from torchml_driver.ase import TorchMLCalculator

    ours, published = make(), make()
    ours.calc, published.calc = TorchMLCalculator(in_collection.packed), KIM(REFERENCE_MODEL)
    assert ours.get_potential_energy() == pytest.approx(
        published.get_potential_energy(), abs=ENERGY_TOLERANCE
    )
    np.testing.assert_allclose(
        ours.get_forces(), published.get_forces(), rtol=0, atol=FORCE_TOLERANCE
    )
    assert ours.get_potential_energies().sum() == pytest.approx(
        ours.get_potential_energy(), abs=1e-11
    )


def test_stress_equals_the_published_potential(in_collection: DriverEnvironment) -> None:
    from torchml_driver.ase import TorchMLCalculator

    ours, published = rattled_crystal(), rattled_crystal()
    ours.calc, published.calc = TorchMLCalculator(in_collection.packed), KIM(REFERENCE_MODEL)
    np.testing.assert_allclose(ours.get_stress(), published.get_stress(), rtol=0, atol=1e-11)


def test_a_cell_relaxes_to_the_lattice_constant_of_the_paper(
    in_collection: DriverEnvironment,
) -> None:
    """Stillinger and Weber fitted theirs to 5.431 angstrom and -4.337 eV per atom."""
    from torchml_driver.ase import TorchMLCalculator

    atoms = bulk("Si", a=5.6)
    atoms.calc = TorchMLCalculator(in_collection.packed)
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5, steps=100)
    assert (4 * atoms.get_volume()) ** (1 / 3) == pytest.approx(5.431, abs=1e-3)
    assert atoms.get_potential_energy() / 2 == pytest.approx(-4.3366, abs=1e-3)


def test_energy_is_conserved_in_a_run(in_collection: DriverEnvironment) -> None:
    from torchml_driver.ase import TorchMLCalculator

    atoms = rattled_crystal()
    atoms.calc = TorchMLCalculator(in_collection.packed)
    before = atoms.get_total_energy()
    VelocityVerlet(atoms, 0.5 * units.fs).run(200)
    assert atoms.get_total_energy() == pytest.approx(before, abs=0.02)
    assert atoms.get_kinetic_energy() > 0.5


def test_a_molecule_has_no_stress(in_collection: DriverEnvironment) -> None:
    from torchml_driver.ase import TorchMLCalculator

    atoms = cluster()
    atoms.calc = TorchMLCalculator(in_collection.packed)
    assert np.isfinite(atoms.get_potential_energy())
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_neither_kim_nor_environment_is_needed(
    driver_environment: DriverEnvironment,
) -> None:
    program = (
        "from ase.build import bulk\n"
        "from torchml_driver.ase import TorchMLCalculator\n"
        "atoms = bulk('Si', a=5.43)\n"
        f"atoms.calc = TorchMLCalculator({str(driver_environment.packed)!r})\n"
        "print(atoms.get_potential_energy())\n"
        "assert 'libkim-api' not in open('/proc/self/maps').read()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"HOME": os.environ.get("HOME", "/"), **SANITIZER_SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(2 * -4.3366, abs=1e-2)
