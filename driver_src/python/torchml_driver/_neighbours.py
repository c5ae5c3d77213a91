"""Cells and neighbour lists of structures in Python: atoms in a cell that may be periodic."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ._arrays import as_array, floats
from ._core import Error

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

#: Å: beyond this distance, float64 rounds coordinates to more than 1e-7 Å.
_FARTHEST = 1e9
#: The largest distance of an atom from the cell, in cells, which are counted in integers.
_FARTHEST_CELL = 2**19
#: More than any structure has and any computer handles; a wrong unit or an invalid cell is the
#: cause.
_MOST_IMAGES = 10**6
_MOST_NEIGHBOURS = 30_000
#: vesin sorts atoms into no more cells than this.
_MOST_CELLS = 1e5


def full_cell(
    cell: npt.ArrayLike | None, pbc: bool | Sequence[bool] | npt.ArrayLike
) -> tuple[Floats, Flags]:
    """A cell of full rank and three flags; non-periodic directions get unit vectors.

    Simulators set these vectors to zero or to anything. The neighbour list needs three vectors that
    span space, and must not list an atom twice because of them. The arrays are read-only.

    Raises:
        Error: for an invalid cell, and if the vectors of the periodic directions are linearly
            dependent.
    """
    periodic = _flags(pbc)
    box = np.zeros((3, 3)) if cell is None else floats("cell", cell, finite=True)
    return _full_cell(box.shape, box.tobytes(), periodic.tobytes())


@functools.lru_cache(maxsize=16)  # cells rarely change from one step to the next
def _full_cell(shape: tuple[int, ...], cell: bytes, pbc: bytes) -> tuple[Floats, Flags]:
    box = np.frombuffer(cell, dtype=np.float64).reshape(shape).copy()
    periodic = np.frombuffer(pbc, dtype=bool)
    if box.shape == (3,):
        box = np.diag(box)
    if box.shape != (3, 3):
        raise Error(f"cell has the shape {box.shape}; expected (3, 3) or three lengths.")
    if np.abs(box[periodic]).max(initial=0.0) > _FARTHEST:
        raise Error(f"cell has vectors longer than {_FARTHEST:.0e} Å. Check that it is in Å.")
    rank = np.linalg.matrix_rank(box[periodic]) if periodic.any() else 0
    if rank != periodic.sum():
        raise Error(
            "pbc is true in a direction for which cell has no vector, or a vector that depends "
            "linearly on the others. Correct the cell, or set pbc to False in that direction."
        )
    if not periodic.all():
        # The rows of v beyond the periodic vectors' rank are orthogonal to them all.
        _, _, v = np.linalg.svd(box[periodic]) if rank else (None, None, np.eye(3))
        box[~periodic] = v[rank:]
    box.flags.writeable = False
    return box, periodic


def find_pairs(
    positions: Floats, box: Floats, periodic: Flags, cutoff: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """All pairs nearer than the cutoff, in both directions, and the cell shifts between them.

    Raises:
        Error: if atoms are too far away or the cell is too small to compute with.
    """
    import vesin  # slow to import, and compute_particles() does not need it

    if len(positions) == 0:
        return np.empty((0, 2), dtype=np.int64), np.empty((0, 3), dtype=np.int32)
    _require_fine_coordinates(positions)
    _require_room(len(positions), box, periodic, cutoff)
    _require_near_cell(positions, box, periodic)
    box = _closed(positions, box, periodic, cutoff)

    # vesin divides by zero, which crashes the process, if it needs many times more cells in one
    # direction than in another. Removing empty space between atoms usually prevents that; if not,
    # larger cells do, which also find pairs that are farther apart.
    if _is_too_flat(box, cutoff):
        for axis in np.flatnonzero(~periodic):
            positions = _without_gaps(positions, box[axis], 2.0 * cutoff)
        box = _closed(positions, box, periodic, cutoff)
    reach = cutoff
    while _is_too_flat(box, reach):
        reach *= 1.1
    neighbours = vesin.NeighborList(cutoff=reach, full_list=True, sorted=True)
    everywhere = np.ones(3, dtype=bool)
    pairs, shifts = neighbours.compute(positions, box, everywhere, quantities="PS", copy=True)
    if reach > cutoff:
        vectors = positions[pairs[:, 1]] - positions[pairs[:, 0]] + shifts @ box
        near = np.linalg.norm(vectors, axis=1) < cutoff
        pairs, shifts = pairs[near], shifts[near]
    return pairs.view(np.int64), shifts


def _closed(positions: Floats, box: Floats, periodic: Flags, cutoff: float) -> Floats:
    """A cell that is safe to repeat in all directions: in directions that are not periodic, images
    are beyond the cutoff.

    vesin is faster with this cell than with non-periodic directions.
    """
    closed: Floats = box.copy()
    for axis in np.flatnonzero(~periodic):
        direction = box[axis] / np.linalg.norm(box[axis])
        closed[axis] = direction * (np.ptp(positions @ direction) + 2.0 * cutoff)
    return closed


def _without_gaps(positions: Floats, vector: Floats, gap: float) -> Floats:
    """Atoms moved together along a vector, so that no space between them is larger than the gap."""
    direction = vector / np.linalg.norm(vector)
    along = positions @ direction
    order = np.argsort(along)
    moves = np.zeros(len(positions))
    moves[order[1:]] = np.cumsum(np.maximum(np.diff(along[order]) - gap, 0.0))
    moved: Floats = positions - moves[:, None] * direction
    return moved


def _flags(pbc: bool | Sequence[bool] | npt.ArrayLike) -> Flags:
    array = as_array("pbc", pbc)
    if array.dtype.kind == "b" and array.shape == (3,):
        return array
    if array.shape not in ((), (3,)):
        raise Error(f"pbc has the shape {array.shape}; expected one flag or three.")
    # 0 and 1 are fine; other values that Python takes for true, such as "F", are mistakes.
    if array.dtype.kind not in "biu" or not np.isin(array, (0, 1)).all():
        raise Error(f"pbc is {array.tolist()!r}; expected True or False, or three of them.")
    return np.array(np.broadcast_to(array.astype(bool), (3,)))


def _require_fine_coordinates(positions: Floats) -> None:
    distances = np.abs(positions).max(axis=1)
    if distances.max() > _FARTHEST:
        index = int(distances.argmax())
        place = ", ".join(f"{x:.3g}" for x in positions[index])
        raise Error(
            f"particle {index} is at ({place}) Å; float64 is too coarse for coordinates beyond "
            f"{_FARTHEST:.0e} Å. Check the structure, and whether the simulation became unstable."
        )


def _require_near_cell(positions: Floats, box: Floats, periodic: Flags) -> None:
    if not periodic.any():
        return
    cells = np.abs(positions @ np.linalg.inv(box)[:, periodic]).max(axis=1)
    if cells.max() > _FARTHEST_CELL:
        raise Error(
            f"particle {int(cells.argmax())} is {cells.max():.3g} cells away from the cell, more "
            f"than {_FARTHEST_CELL}. Move it back into the cell, for example with ASE's "
            "Atoms.wrap()."
        )


def _require_room(n: int, box: Floats, periodic: Flags, cutoff: float) -> None:
    heights = _heights(box)
    images = float(np.prod(2.0 * np.ceil(cutoff / heights[periodic]) + 1.0))
    if images > _MOST_IMAGES:
        raise Error(
            f"each atom would have {images:.1e} periodic images within the cutoff of {cutoff:g} Å: "
            f"the cell is only {heights[periodic].min():.3g} Å thick. Check that it is in Å; if it "
            "is just very skewed, reduce it first, for example with ASE's minkowski_reduce()."
        )
    if periodic.all():
        volume = abs(float(np.linalg.det(box)))
        neighbours = n / volume * 4.0 / 3.0 * np.pi * cutoff**3
        if neighbours > _MOST_NEIGHBOURS:
            raise Error(
                f"each atom would have about {neighbours:.1e} neighbours within the cutoff of "
                f"{cutoff:g} Å: the cell holds {n} atoms in {volume:.3g} Å^3. Check that it is "
                "in Å."
            )


def _heights(box: Floats) -> Floats:
    """The distances between opposite faces of the cell, Å."""
    return _heights_of(box.tobytes())


@functools.lru_cache(maxsize=16)
def _heights_of(cell: bytes) -> Floats:
    box = np.frombuffer(cell, dtype=np.float64).reshape(3, 3)
    heights: Floats = 1.0 / np.linalg.norm(np.linalg.inv(box), axis=0)
    return heights


def _is_too_flat(box: Floats, cutoff: float) -> bool:
    """Whether vesin would scale a number of cells to less than one, or nearly so."""
    n_cells = np.maximum(np.trunc(_heights(box) / cutoff), 1.0)
    total = float(np.prod(n_cells))
    if total <= 0.9 * _MOST_CELLS:
        return False
    return float(n_cells.min() * np.cbrt(_MOST_CELLS / total)) < 1.5
