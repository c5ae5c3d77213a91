"""Periodic systems as simulators hand them over: images are particles, which nobody names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree


@dataclass
class HandedOver:
    """Particles, with lists of all neighbours of each.

    owner: the atom that each particle is, or is an image of; arrays: arguments of
    Potential.compute_particles besides the species codes, n_neigh and nlist as it wants them.
    """

    owner: np.ndarray
    shifts: np.ndarray  # (n, 3) of the cell's vectors
    contributing: np.ndarray
    coordinates: np.ndarray
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    neighbours: np.ndarray = field(default_factory=lambda: np.empty(0, int))

    def list_neighbours(self, distance: float) -> None:
        """Anew, up to a distance."""
        pairs = cKDTree(self.coordinates).query_pairs(distance, output_type="ndarray")
        both = np.concatenate([pairs, pairs[:, ::-1]])
        both = both[np.lexsort((both[:, 1], both[:, 0]))]
        self.counts = np.bincount(both[:, 0], minlength=len(self.owner))
        self.neighbours = both[:, 1]

    def move(self, atoms: Atoms) -> None:
        """Particles and images follow the atoms and their cell, as between two lists."""
        self.coordinates = atoms.positions[self.owner] + self.shifts @ atoms.cell.array

    def compute(self, potential: Any, codes: np.ndarray, **wanted: bool) -> Any:
        """codes: of the atoms."""
        return potential.compute_particles(
            codes[self.owner],
            self.coordinates,
            self.contributing,
            self.counts,
            self.neighbours,
            **wanted,
        )

    def on_atoms(self, values: np.ndarray) -> np.ndarray:
        """Sums over each atom's images."""
        total = np.zeros((int(self.owner.max()) + 1, *values.shape[1:]))
        np.add.at(total, self.owner, values)
        return total


def hand_over(
    atoms: Atoms,
    reach: float,
    listed: float,
    random: np.random.Generator | None = None,
    *,
    copies: tuple[int, int, int] | None = None,
) -> HandedOver:
    """All images within ``reach`` of an atom, lists up to ``listed``, in any order if ``random``.

    copies: of the cell to the left and right of each direction, for a cell that does not repeat.
    """
    cell = atoms.cell.complete().array
    inverse = np.linalg.inv(cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    extent = np.ptp(atoms.positions @ inverse, axis=0)
    most = np.where(atoms.pbc, np.ceil(extent + reach / heights), 0).astype(int)
    if copies is not None:
        most = np.array(copies)
    tree = cKDTree(atoms.positions)
    everybody = np.arange(len(atoms))
    owner, shifts = [everybody], [np.zeros((len(atoms), 3), int)]
    for shift in np.array(list(np.ndindex(*(2 * most + 1)))) - most:
        if not shift.any():
            continue
        near = tree.query(atoms.positions + shift @ cell)[0] < reach
        owner.append(everybody[near])
        shifts.append(np.tile(shift, (near.sum(), 1)))
    owners, all_shifts = np.concatenate(owner), np.concatenate(shifts)
    order = np.arange(len(owners))
    if random is not None:
        order = random.permutation(len(owners))
    system = HandedOver(
        owners[order],
        all_shifts[order],
        (order < len(atoms)).astype(int),
        np.empty((0, 3)),
    )
    system.coordinates = atoms.positions[system.owner] + system.shifts @ cell
    system.list_neighbours(listed)
    return system
