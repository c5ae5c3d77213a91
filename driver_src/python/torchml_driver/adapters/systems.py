"""The systems on which a packed model is compared with its library's own calculator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

#: Elements that are taken first, of those that a model has: they form ordinary compounds.
_USUAL = ("Si", "O", "Na", "Cl", "C", "H", "N", "Al", "Cu", "Fe", "Ni", "Ti")
_FEW = 4
#: Å around molecules and slabs in cells, and between isolated atoms, in addition to the cutoff.
_MARGIN = 1.0


def chosen(elements: Sequence[str]) -> list[str]:
    """Up to four elements to make systems of."""
    usual = [name for name in _USUAL if name in elements]
    return [*usual, *(name for name in elements if name not in usual)][:_FEW]


def systems(
    elements: Sequence[str], cutoff: float, periodic_only: bool
) -> Iterator[tuple[str, Atoms]]:
    """The systems, each with its name; the same ones for the same arguments.

    elements: all of the model. cutoff: Å. periodic_only: whether to give every system a cell that
    is periodic in all directions, with vacuum.
    """
    few = chosen(elements)
    vacuum = cutoff + _MARGIN
    yield "crystal", _lattice(few, (3, 3, 2), 1, strained=True)
    slab = _lattice(few, (3, 2, 3), 2)
    slab.cell[2] *= 1.0 + vacuum / slab.cell[2, 2]
    slab.pbc = (True, True, periodic_only)
    yield "slab", slab
    molecule = _lattice(few, (2, 2, 2), 3)[:7]
    yield "molecule", _alone(molecule, vacuum, periodic_only)
    for name in few:
        atom = Atoms([name], positions=[[0.3, -0.2, 0.1]])
        yield f"isolated atom, {name}", _alone(atom, vacuum, periodic_only)
    if len(elements) > _FEW:
        numbers = _sides(len(elements))
        yield f"all {len(elements)} elements", _lattice(elements, numbers, 4)


def _lattice(
    elements: Sequence[str], numbers: tuple[int, int, int], seed: int, strained: bool = False
) -> Atoms:
    """A rattled simple cubic crystal with as many sites in each direction, and every element."""
    random = np.random.default_rng(seed)
    sites = np.array(list(product(*map(range, numbers))), dtype=float)
    species = [elements[site % len(elements)] for site in range(len(sites))]
    random.shuffle(species)
    radii = np.array([covalent_radii[atomic_numbers[name]] for name in elements])
    distance = 2.2 * float(radii.mean())  # the usual bond is twice the radius
    positions = sites * distance + random.normal(scale=0.04 * distance, size=sites.shape)
    atoms = Atoms(species, positions, cell=np.diag(numbers) * distance, pbc=True)
    if strained:
        strain = np.array([[0.02, 0.04, 0.0], [0.0, -0.01, 0.03], [0.05, 0.0, 0.01]])
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def _sides(at_least: int) -> tuple[int, int, int]:
    """The sides of a block with at least so many sites, and few more."""
    first = int(np.ceil(at_least ** (1 / 3)))
    second = int(np.ceil((at_least / first) ** 0.5))
    return first, second, int(np.ceil(at_least / (first * second)))


def _alone(atoms: Atoms, vacuum: float, periodic: bool) -> Atoms:
    """The atoms without a cell; or, if it must be periodic, in one with vacuum around them."""
    alone = Atoms(atoms.symbols, atoms.positions)
    if periodic:
        alone.center(vacuum=vacuum)
        alone.pbc = True
    return alone
