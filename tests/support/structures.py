"""Silicon in the shapes that occur in simulations, with reproducible random displacements."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.build import bulk, diamond100, make_supercell

from tests.support.example_model import CUTOFF as CUTOFF
from tests.support.example_model import EXAMPLE_MODEL as EXAMPLE_MODEL
from tests.support.example_model import REFERENCE_MODEL as REFERENCE_MODEL

ENERGY_TOLERANCE = 1e-9  # eV
FORCE_TOLERANCE = 1e-8  # eV/angstrom


def rattled_crystal() -> Atoms:
    atoms = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=7)
    return atoms


def hot_crystal() -> Atoms:
    """Displaced so far that coordination numbers change."""
    atoms = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
    atoms.rattle(0.35, seed=11)
    return atoms


def primitive_cell() -> Atoms:
    """Two atoms in a cell shorter than the cutoff: their neighbours are images of themselves."""
    atoms = bulk("Si", a=5.2)
    atoms.rattle(0.1, seed=3)
    return atoms


def strained_triclinic_crystal() -> Atoms:
    atoms = make_supercell(bulk("Si", a=5.43), [[2, 1, 0], [0, 2, 1], [1, 0, 3]])
    strain = np.array([[1.02, 0.03, -0.01], [0.0, 0.97, 0.02], [0.04, 0.0, 1.01]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.rattle(0.08, seed=5)
    return atoms


def slab() -> Atoms:
    atoms = diamond100("Si", (3, 3, 6), a=5.43, vacuum=8.0)
    atoms.pbc = (True, True, False)
    atoms.rattle(0.1, seed=2)
    return atoms


def cluster() -> Atoms:
    crystal = bulk("Si", a=5.43, cubic=True) * (3, 3, 3)
    middle = crystal.cell.sum(axis=0) / 2
    near = np.linalg.norm(crystal.positions - middle, axis=1) < 6.0
    atoms = Atoms("Si" * near.sum(), positions=crystal.positions[near])
    atoms.rattle(0.12, seed=4)
    return atoms


def dimer() -> Atoms:
    return Atoms("Si2", positions=[[0, 0, 0], [1.3, 1.3, 1.2]])


def isolated_atom() -> Atoms:
    return Atoms("Si", positions=[[0.1, 0.2, 0.3]])


STRUCTURES = {
    make.__name__: make
    for make in (
        rattled_crystal,
        hot_crystal,
        primitive_cell,
        strained_triclinic_crystal,
        slab,
        cluster,
        dimer,
        isolated_atom,
    )
}


def energy_and_forces(atoms: Atoms) -> tuple[float, npt.NDArray[np.float64]]:
    """For pools of processes, which import this module but not a test's."""
    return atoms.get_potential_energy(), atoms.get_forces()
