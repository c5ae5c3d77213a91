"""Checks that a folded model gives what the model on staged graphs gives, in periodic systems.

The one gets each system's atoms and the vectors of their edges, the other a particle for each
periodic image within its reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from .. import inputs
from .._neighbours import find_pairs
from .failure import ModelError
from .systems import SystemMaker, Tensors

Floats: TypeAlias = npt.NDArray[np.float64]

#: The largest difference, relative to the largest value, that counts as rounding.
_TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3}
_TOLERANCE_OF_SHORT_TYPES = 0.1


@dataclass(frozen=True)
class Atoms:
    """A structure. codes: (n,) of species. positions: (n, 3) Å. cell: (3, 3) Å. periodic: (3,)."""

    codes: npt.NDArray[np.int64]
    positions: Floats
    cell: Floats
    periodic: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Found:
    """energy: eV. forces: (n, 3) eV/Å. virial: (3, 3) eV."""

    energy: float
    forces: Floats
    virial: Floats


def structures(cutoff: float, codes: Sequence[int]) -> Iterator[tuple[str, Atoms]]:
    """Systems with about eight neighbours within the cutoff, Å, each with a description."""
    box = (2, 2, 3)
    yield "a crystal of 12 atoms", _grid(cutoff, codes, box, (True, True, True))
    yield "a sheared crystal", _grid(cutoff, codes, (2, 3, 2), (True, True, True), shear=0.4)
    yield "a slab", _grid(cutoff, codes, box, (True, True, False))
    yield "a wire of 3 atoms", _grid(cutoff, codes, (1, 1, 3), (False, False, True))
    yield "a cell of one atom", _grid(cutoff, codes, (1, 1, 1), (True, True, True))
    yield "a cluster", _grid(cutoff, codes, (3, 3, 2), (False, False, False))
    yield "two atoms", _grid(cutoff, codes, (2, 1, 1), (False, False, False))


def usual(cutoff: float, codes: Sequence[int]) -> Atoms:
    """A crystal of 64 atoms, to time."""
    return _grid(cutoff, codes, (4, 4, 4), (True, True, True), neighbours=24.0)


def _grid(
    cutoff: float,
    codes: Sequence[int],
    box: tuple[int, int, int],
    periodic: tuple[bool, bool, bool],
    shear: float = 0.05,
    neighbours: float = 8.0,
) -> Atoms:
    random = np.random.default_rng(sum(box))
    spacing = cutoff * (4.19 / neighbours) ** (1 / 3)
    points = np.array(list(product(*map(range, box))), dtype=float)
    points += random.uniform(-0.2, 0.2, points.shape)
    turn = spacing * np.array([[1.0, 0.0, 0.0], [shear, 1.0, 0.0], [0.1 * shear, shear, 1.0]])
    chosen = np.resize(np.asarray(codes, dtype=np.int64), len(points))
    random.shuffle(chosen)
    cell = np.array(box, dtype=float)[:, None] * turn
    return Atoms(chosen, points @ turn, cell, np.array(periodic))


def on_edges(atoms: Atoms, maker: SystemMaker) -> Tensors:
    """A model's inputs: species, edge_index, edge_vectors, contributing."""
    pairs, shifts = find_pairs(atoms.positions, atoms.cell, atoms.periodic, maker.cutoff)
    vectors = atoms.positions[pairs[:, 1]] - atoms.positions[pairs[:, 0]]
    vectors = vectors + np.where(atoms.periodic, shifts, 0) @ atoms.cell
    made = (
        torch.tensor(atoms.codes),
        torch.tensor(pairs.T.copy()),
        torch.tensor(vectors).to(maker.scalar),
        torch.ones(len(atoms.codes), dtype=torch.int64),
    )
    return tuple(tensor.to(maker.device) for tensor in made)


def staged(atoms: Atoms, maker: SystemMaker) -> tuple[Tensors, npt.NDArray[np.intp], Floats]:
    """A model's inputs with images as particles; the atom of each; (n, 3) its position, Å."""
    reach = maker.layers * maker.cutoff
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell), axis=0)
    # Atoms lie in the cell or slightly outside.
    counts = np.where(atoms.periodic, np.ceil(reach / heights) + 1, 0).astype(int)
    shifts = np.array(list(product(*(range(-n, n + 1) for n in counts))))
    shifts = shifts[np.argsort(np.abs(shifts).sum(1), kind="stable")]  # the cell itself first
    places = (shifts @ atoms.cell)[:, None, :] + atoms.positions
    owners = np.tile(np.arange(len(atoms.codes)), len(shifts))
    positions = places.reshape(-1, 3)
    own = torch.tensor(atoms.positions)
    near = (torch.cdist(torch.tensor(positions), own).amin(1) <= reach).numpy()
    positions, owners = positions[near], owners[near]
    contributing = np.arange(len(positions)) < len(atoms.codes)
    pairs, _ = find_pairs(positions, np.eye(3), np.zeros(3, dtype=bool), maker.cutoff)
    n_neigh = np.bincount(pairs[:, 0], minlength=len(positions))
    codes = atoms.codes[owners]
    system = inputs.System(codes, positions, contributing, n_neigh, pairs[:, 1])
    made = inputs.model_inputs(
        "graph", system, cutoff=maker.cutoff, layers=maker.layers, dtype=maker.scalar
    )
    return tuple(tensor.to(maker.device) for tensor in made.values()), owners, positions


def least_edges(inputs: Tensors, row: int) -> Tensors:
    """A staged model's inputs without the edges that `model pack` finds to be superfluous: those
    whose receivers, in this row, are not among the particles of the graph before."""
    species, coordinates, *graphs, contributing = inputs
    inside = contributing == 0
    kept = []
    for graph in graphs:
        needed = graph[:, inside[graph[row]]]
        inside = inside.index_fill(0, needed.reshape(-1), True)
        kept.append(needed)
    return (species, coordinates, *kept, contributing)


def compare(
    original: Any, folded: torch.nn.Module, maker: SystemMaker, returns_forces: bool
) -> float:
    """The largest difference, relative to the largest value, between the two ways.

    original: a function of a staged model's inputs, of energies and of their gradient with respect
    to coordinates, or of forces. maker: of staged systems.

    Raises ModelError if that is more than rounding.
    """
    tolerance = _TOLERANCES.get(maker.scalar, _TOLERANCE_OF_SHORT_TYPES)
    largest = 0.0
    for words, atoms in structures(maker.cutoff, maker.codes):
        one = _staged(original, atoms, maker, returns_forces)
        two = _folded(folded, atoms, maker)
        for name in ("energy", "forces", "virial"):
            wanted, found = (np.atleast_1d(getattr(way, name)) for way in (one, two))
            if not np.isfinite(wanted).all():  # the original does not work for such a system
                continue
            scale = max(float(np.abs(wanted).max()), 1e-3)
            difference = float(np.abs(found - wanted).max()) / scale
            if not difference <= tolerance:
                raise ModelError(
                    "differ",
                    f"The folded model differs from the original by {difference:.1e} of the "
                    f"largest value for {words} ({name}); up to {tolerance:.0e} counts as "
                    "rounding.",
                    "Compile it without --fold: it then remains a model on staged graphs.",
                )
            largest = max(largest, difference)
    return largest


def _staged(original: Any, atoms: Atoms, maker: SystemMaker, returns_forces: bool) -> _Found:
    tensors, owners, positions = staged(atoms, maker)
    energies, derivative = original(*tensors)
    on_particles = derivative.double().cpu().numpy().reshape(-1, 3)
    gradient = -on_particles if returns_forces else on_particles
    forces = np.zeros_like(atoms.positions)
    np.add.at(forces, owners, -gradient)
    return _Found(float(energies.double().sum()), forces, gradient.T @ positions)


def _folded(folded: torch.nn.Module, atoms: Atoms, maker: SystemMaker) -> _Found:
    species, edge_index, vectors, contributing = on_edges(atoms, maker)
    variable = vectors.requires_grad_(True)
    energy = folded(species, edge_index, variable, contributing).sum()
    (gradient,) = torch.autograd.grad(energy, variable)
    by_edge = gradient.double().cpu().numpy()
    forces = np.zeros_like(atoms.positions)
    np.add.at(forces, edge_index[0].cpu().numpy(), by_edge)
    np.add.at(forces, edge_index[1].cpu().numpy(), -by_edge)
    virial = by_edge.T @ vectors.detach().double().cpu().numpy()
    return _Found(float(energy.detach().double()), forces, virial)
