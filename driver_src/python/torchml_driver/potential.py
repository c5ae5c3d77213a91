"""A portable model as a Python object."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from . import _core
from ._core import Error


class ModelWarning(UserWarning):
    """What a potential has to tell although it computes; the KIM driver writes it to KIM's log."""


@dataclass(frozen=True)
class Result:
    """What a potential gives for one configuration; None for what was not asked for.

    Attributes:
        energy: eV.
        forces: (n, 3) float64, eV/Å.
        particle_energies: (n,) float64, eV; their sum is the energy.
        virial: (6,) float64, eV, in the order xx, yy, zz, yz, xz, xy: the derivative of the energy
            by the strain, so that stress = virial / volume in ASE's sign.
        particle_virials: (n, 6) float64, eV: each particle's part of the virial.
    """

    energy: float
    forces: npt.NDArray[np.float64] | None
    particle_energies: npt.NDArray[np.float64] | None
    virial: npt.NDArray[np.float64] | None
    particle_virials: npt.NDArray[np.float64] | None


class Potential:
    """A Torch potential, loaded from a portable model.

    Args:
        model: a portable-model folder, as ``torchml-install model pack`` writes it, or its
            ``*.param`` file.
        atomic_numbers: whether the model wants atomic numbers as species codes instead of 0, 1, …
            in the order of its elements. By default this is so if the environment variable
            ``KIM_MODEL_ELEMENTS_MAP`` is set, as in the KIM driver.
        device: ``cpu``, ``cuda``, ``cuda:N``, and ``mps`` or ``xpu`` where torch has them. By
            default what the environment variable ``KIM_MODEL_EXECUTION_DEVICE`` says, or the CPU.

    Raises:
        Error: if the model is not there, not complete, cannot be loaded, or its device is not
            there.

    Threads that share an object compute one after the other; with one each, at the same time.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        atomic_numbers: bool | None = None,
        device: str | None = None,
    ):
        if atomic_numbers is None:
            atomic_numbers = "KIM_MODEL_ELEMENTS_MAP" in os.environ
        self._core = _core.Potential(_files_of(Path(model)), atomic_numbers, device)
        self._code_of = dict(zip(self._core.elements, self._core.species_codes, strict=True))
        # Atomic numbers come as integers from ASE and files alike; both names lead to the code.
        self._code_of_number = {
            _core.atomic_number(symbol): code for symbol, code in self._code_of.items()
        }
        self._warn()

    @property
    def elements(self) -> list[str]:
        """The elements that the model knows, in its own order."""
        return list(self._core.elements)

    @property
    def species_codes(self) -> npt.NDArray[np.int32]:
        """The species code of each element, in the order of ``elements``."""
        return np.array(self._core.species_codes, dtype=np.int32)

    @property
    def cutoff(self) -> float:
        """Å: only pairs nearer than this interact directly."""
        return float(self._core.cutoff)

    @property
    def influence_distance(self) -> float:
        """Å: how far from a particle another can be and still change its energy."""
        return float(self._core.influence_distance)

    @property
    def device(self) -> str:
        """Where the model computes: ``cpu``, ``cuda:0``, …"""
        return str(self._core.device)

    @property
    def precision(self) -> int:
        """The bits of the model's floating-point type: 64, 32 or 16. Results are float64 always."""
        return int(self._core.precision)

    def compute(
        self,
        species: Sequence[str] | Sequence[int] | npt.NDArray[np.integer],
        coordinates: npt.ArrayLike,
        cell: npt.ArrayLike | None = None,
        pbc: bool | Sequence[bool] = False,
        *,
        forces: bool = True,
        particle_energies: bool = False,
        particle_virials: bool = False,
    ) -> Result:
        """Computes one configuration.

        Args:
            species: (n,) element symbols or atomic numbers.
            coordinates: (n, 3) Å.
            cell: (3, 3) Å, rows are the cell's vectors; needed where ``pbc`` is true.
            pbc: whether the cell repeats, for all directions or for each.
            forces: whether forces and virial are wanted; an energy alone is much cheaper.
            particle_energies: whether each particle's energy is wanted.
            particle_virials: whether each particle's part of the virial is wanted. Only models of
                descriptors define it.

        Raises:
            Error: if the arrays do not fit each other or the model, or the model fails.
        """
        positions = np.ascontiguousarray(coordinates, dtype=np.float64)
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise Error(f"coordinates has the shape {positions.shape}; expected (n, 3).")
        if not np.isfinite(positions).all():
            raise Error("coordinates has values that are not finite (nan or inf).")
        codes = self._codes(species)
        box, periodic = _cell(cell, pbc)
        pairs, shifts = _pairs(positions, box, periodic, self.cutoff)
        result = Result(
            *self._core.compute_periodic(
                codes,
                positions,
                box,
                pairs,
                shifts,
                forces,
                particle_energies,
                particle_virials,
            )
        )
        self._warn()
        return result

    def compute_particles(
        self,
        codes: npt.ArrayLike,
        coordinates: npt.ArrayLike,
        contributing: npt.ArrayLike,
        n_neigh: npt.ArrayLike,
        nlist: npt.ArrayLike,
        *,
        forces: bool = True,
        particle_energies: bool = False,
        particle_virials: bool = False,
    ) -> Result:
        """Computes what a simulator hands over: ghosts are particles, neighbour lists are given.

        Args:
            codes: (n,) the model's species codes.
            coordinates: (n, 3) Å.
            contributing: (n,) 1 = its energy counts, 0 = it does not.
            n_neigh: (n_contributing,) how many neighbours each contributing particle has; or (n,)
                for all particles, which graph models need.
            nlist: (sum of n_neigh,) the neighbours' indices, one particle after the other; those
                beyond the cutoff are left out by the engine.

        Returns:
            Forces on all n particles; the virial of the contributing particles' energy.
        """
        result = Result(
            *self._core.compute_particles(
                _integers("codes", codes),
                coordinates,
                _integers("contributing", contributing),
                _integers("n_neigh", n_neigh),
                _integers("nlist", nlist),
                forces,
                particle_energies,
                particle_virials,
            )
        )
        self._warn()
        return result

    def _warn(self) -> None:
        for text in self._core.take_warnings():
            warnings.warn(text, ModelWarning, stacklevel=3)

    def _codes(
        self, species: Sequence[str] | Sequence[int] | npt.NDArray[np.integer]
    ) -> npt.NDArray[np.int32]:
        codes = np.empty(len(species), dtype=np.int32)
        for index, kind in enumerate(species):
            code = (
                self._code_of.get(kind)
                if isinstance(kind, str)
                else self._code_of_number.get(int(kind))
            )
            if code is None:
                raise Error(
                    f"particle {index} is {kind!r}, which the model does not know; "
                    f"it knows {', '.join(self.elements)}."
                )
            codes[index] = code
        return codes


def _integers(name: str, values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iub":
        raise Error(f"{name} has values of type {array.dtype}; expected whole numbers.")
    return array.astype(np.int32, copy=False)


def _files_of(model: Path) -> list[Path]:
    """The files of a portable model: those of its folder, or those beside its ``*.param`` file."""
    if model.is_dir():
        files = sorted(path for path in model.iterdir() if path.is_file())
        if not any(path.suffix == ".param" for path in files):
            raise Error(
                f"{model} is no portable model: it has no *.param file. "
                "'torchml-install model pack' makes one of a TorchScript file."
            )
        return files
    if model.is_file() and model.suffix == ".param":
        beside = (path for path in model.parent.iterdir() if path.suffix != ".param")
        return [model, *sorted(path for path in beside if path.is_file())]
    if model.exists():
        raise Error(f"{model} is neither a portable-model folder nor a *.param file.")
    raise Error(f"{model} is not there; give a portable-model folder or a *.param file.")


def _cell(
    cell: npt.ArrayLike | None, pbc: bool | Sequence[bool]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """A cell of full rank and three flags; directions that do not repeat get unit vectors.

    Simulators leave those vectors zero, or give anything; the neighbour list wants three that span
    space, and must not see an atom twice because of them.
    """
    periodic = np.array(np.broadcast_to(np.asarray(pbc, dtype=bool), (3,)))
    box = np.zeros((3, 3)) if cell is None else np.array(cell, dtype=np.float64)
    if box.shape == (3,):
        box = np.diag(box)
    if box.shape != (3, 3):
        raise Error(f"cell has the shape {box.shape}; expected (3, 3) or three lengths.")
    if not np.isfinite(box).all():
        raise Error("cell has values that are not finite (nan or inf).")
    rank = np.linalg.matrix_rank(box[periodic]) if periodic.any() else 0
    if rank != periodic.sum():
        raise Error("pbc asks for a direction that repeats, but cell has no vector for it.")
    if not periodic.all():
        # The rows of v beyond the periodic vectors' rank are orthogonal to them all.
        _, _, v = np.linalg.svd(box[periodic]) if rank else (None, None, np.eye(3))
        box[~periodic] = v[rank:]
    return box, periodic


def _pairs(
    positions: npt.NDArray[np.float64],
    box: npt.NDArray[np.float64],
    periodic: npt.NDArray[np.bool_],
    cutoff: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """All pairs nearer than the cutoff, in both directions, and the cells between them."""
    import vesin  # slow to import, and compute_particles() does without

    if len(positions) == 0:
        return np.empty((0, 2), dtype=np.int64), np.empty((0, 3), dtype=np.int32)
    neighbours = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    pairs, shifts = neighbours.compute(positions, box, periodic, quantities="PS", copy=True)
    return pairs.view(np.int64), shifts
