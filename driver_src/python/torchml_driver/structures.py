"""Crystals and clusters for testing a potential: of its elements, at a density that suits its
cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .potential import Potential, Result

Floats: TypeAlias = npt.NDArray[np.float64]

#: In the face-centred cubic cell that crystals are made of.
PARTICLES_PER_CELL = 4


@dataclass(frozen=True)
class Structure:
    """Particles in a cell.

    species: n element symbols. positions: (n, 3) Å. cell: (3, 3) Å, its vectors in rows.
    periodic: whether the cell is periodic in all directions.
    """

    species: list[str]
    positions: Floats
    cell: Floats
    periodic: bool


def rattled_crystal(
    potential: Potential, repeat: int = 2, periodic: bool = True, seed: int = 1
) -> Structure:
    """A rattled, sheared face-centred cubic crystal of ``repeat``³ cells, with random elements.

    The same arguments give the same crystal.
    """
    random = np.random.default_rng(seed)
    distance = _distance(potential)
    side = np.sqrt(2.0) * distance
    numbers = np.arange(repeat)
    corners = np.stack(np.meshgrid(*[numbers] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    positions = (corners + basis).reshape(-1, 3) * side
    positions = positions + random.normal(scale=0.05 * distance, size=positions.shape)
    shear = np.array([[1.0, 0.0, 0.0], [0.1, 1.0, 0.0], [-0.05, 0.1, 1.0]])
    species = [str(name) for name in random.choice(potential.elements, size=len(positions))]
    return Structure(species, positions @ shear, repeat * side * shear, periodic)


@dataclass(frozen=True)
class Cluster:
    """Particles without periodicity, as a simulator passes them; some are ghosts.

    elements: (n,) indices into the potential's elements. positions: (n, 3) Å. contributing: (n,)
    1 = its energy counts, 0 = it does not; contributing particles come first, as in all simulators.
    """

    elements: npt.NDArray[np.intp]
    positions: Floats
    contributing: npt.NDArray[np.intp]

    def compute(
        self,
        potential: Potential,
        positions: Floats | None = None,
        contributing: npt.NDArray[np.intp] | None = None,
        *,
        forces: bool = False,
    ) -> Result:
        """Computes the cluster, with other positions or contributing particles if given."""
        n = len(self.elements)
        everybody = np.arange(n)
        return potential.compute_particles(
            potential.species_codes[self.elements],
            self.positions if positions is None else positions,
            self.contributing if contributing is None else contributing,
            np.full(n, n - 1),
            np.concatenate([np.delete(everybody, particle) for particle in everybody]),
            forces=forces,
        )


def cluster(potential: Potential, size: int, room: float = 0.0) -> Cluster:
    """A rattled piece of a face-centred cubic crystal in which half of the particles contribute.

    room: the smallest difference, in Å, between any distance of two particles and the cutoff, so
    that small displacements move no pair across it. Much room means fewer particles. The same
    arguments give the same cluster.
    """
    distance = _distance(potential)
    layers = int(np.ceil(size ** (1 / 3)))
    numbers = np.arange(-layers, layers + 1)
    grid = np.stack(np.meshgrid(*[numbers] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = grid[grid.sum(axis=1) % 2 == 0]
    order = np.argsort((sites**2).sum(axis=1), kind="stable")
    sites = sites[order] * distance / np.sqrt(2.0)
    random = np.random.default_rng(6)
    best, widest = sites[:2], -1.0
    while widest < room and size > 1:
        for _ in range(200):
            positions = sites[:size] + random.normal(scale=0.05 * distance, size=(size, 3))
            between = np.linalg.norm(positions[:, None] - positions[None, :], axis=2)
            free = np.abs(between - potential.cutoff)[np.triu_indices(size, 1)].min()
            if free > widest:
                best, widest = positions, float(free)
            if widest >= room:
                break
        size -= 1 if size <= 4 else 2
    shuffled = best[random.permutation(len(best))]
    n = len(shuffled)
    elements = random.permutation(np.arange(n) % len(potential.elements))
    return Cluster(elements, shuffled, (np.arange(n) < (n + 1) // 2).astype(np.intp))


def _distance(potential: Potential) -> float:
    """The distance between nearest neighbours, Å."""
    return min(max(0.62 * potential.cutoff, 1.6), 3.0)
