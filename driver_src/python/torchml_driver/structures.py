"""Crystals for trying a potential out: made of what it knows, as dense as its cutoff suggests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .potential import Potential

Floats = npt.NDArray[np.float64]

#: Of the face-centred cubic cell that crystals are made of.
PARTICLES_PER_CELL = 4


@dataclass(frozen=True)
class Structure:
    """Particles and the cell that they are in.

    species: n element symbols. positions: (n, 3) Å. cell: (3, 3) Å, rows are its vectors.
    periodic: whether it repeats in all directions.
    """

    species: list[str]
    positions: Floats
    cell: Floats
    periodic: bool


def shaken_crystal(
    potential: Potential, repeat: int = 2, periodic: bool = True, seed: int = 1
) -> Structure:
    """A sheared face-centred cubic crystal of ``repeat``³ cells, of all elements at random, shaken.

    The same arguments give the same crystal.
    """
    random = np.random.default_rng(seed)
    distance = min(max(0.62 * potential.cutoff, 1.6), 3.0)
    side = np.sqrt(2.0) * distance
    numbers = np.arange(repeat)
    corners = np.stack(np.meshgrid(*[numbers] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    positions = (corners + basis).reshape(-1, 3) * side
    positions = positions + random.normal(scale=0.05 * distance, size=positions.shape)
    shear = np.array([[1.0, 0.0, 0.0], [0.1, 1.0, 0.0], [-0.05, 0.1, 1.0]])
    species = [str(name) for name in random.choice(potential.elements, size=len(positions))]
    return Structure(species, positions @ shear, repeat * side * shear, periodic)
