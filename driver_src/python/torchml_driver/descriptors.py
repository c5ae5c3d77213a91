"""Descriptors of atomic structures, and the gradients that training needs.

Simulations use the same code, so a model runs with the descriptors that it was trained on.

>>> import torch
>>> from torchml_driver.descriptors import Descriptor
>>> descriptor = Descriptor("descriptor.dat", ["Si", "C"])
>>> zeta = torch.tensor(descriptor.values(atoms), requires_grad=True)
>>> energy = network(zeta).sum()
>>> (dE_dzeta,) = torch.autograd.grad(energy, zeta)
>>> forces = -descriptor.vjp(atoms, dE_dzeta.numpy()).gradient
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from . import _core
from ._arrays import floats
from ._core import Error
from ._neighbours import find_pairs, full_cell
from ._sources import LoadedFiles, require_same

_loading = threading.RLock()


class Structure(Protocol):
    """The interface that structures must have; ASE's Atoms has it."""

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """The positions, (n, 3) Å."""

    @property
    def cell(self) -> npt.ArrayLike:
        """The cell's vectors in rows, (3, 3) Å."""

    @property
    def pbc(self) -> npt.ArrayLike:
        """The periodic directions, (3,)."""

    def get_chemical_symbols(self) -> list[str]:
        """The elements, (n,)."""


@dataclass(frozen=True)
class VectorJacobianProduct:
    """The gradient of sum(weights * values).

    Attributes:
        gradient: (n, 3) float64, with respect to the atoms' positions, in 1/Å times the unit of
            the weights. With weights dE/d(values), the forces are its negative.
        virial: (6,) float64, with respect to the strain, in the order xx, yy, zz, yz, xz, xy.
            Divided by the volume, it is ASE's stress.
    """

    gradient: npt.NDArray[np.float64]
    virial: npt.NDArray[np.float64]


class Descriptor:
    """The descriptor that a file describes.

    Args:
        file: a descriptor file (``*.dat``), as KLIFF or libdescriptor writes it: symmetry
            functions, bispectrum components or SOAP.
        elements: the model's elements, in the model's order. SOAP's columns follow this order; for
            the other descriptors it does not matter.

    Raises:
        Error: if the file cannot be read or is invalid.

    Uses torch's number of threads; results do not depend on it. Threads that share an object
    compute one after the other.

    A pickle holds the file's path and checksum, not its contents: another process loads the file
    when it first needs it, and raises Error if it is missing or has changed. Copies share the
    loaded descriptor.
    """

    def __init__(self, file: str | os.PathLike[str], elements: Sequence[str]):
        if isinstance(elements, str):
            raise Error(
                f"elements is the single string {str(elements)!r}; expected a list of symbols, "
                "such as ['Si', 'C']."
            )
        self._elements = [str(element) for element in elements]
        for element in self._elements:
            if self._elements.count(element) > 1:
                raise Error(f"elements names {element} twice. Name each element once.")
        self._file = Path(file).absolute()
        loaded_file = LoadedFiles([self._file])
        self._core = _core.Descriptor(self._file, self._elements)
        self._loaded_file = loaded_file
        self._code_of = {element: code for code, element in enumerate(self._elements)}

    def __copy__(self) -> Descriptor:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Descriptor:
        return self

    def __getstate__(self) -> dict[str, Any]:
        if "_pickled" in self.__dict__:  # not loaded yet
            return dict(self._pickled)
        return {
            "file": str(self._file),
            "elements": self._elements,
            "digests": self._loaded_file.digests(self._file),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._pickled = state
        self._file = Path(state["file"])
        self._elements = state["elements"]

    def __getattr__(self, name: str) -> Any:
        """Loads the file of an unpickled object, as Potential does."""
        if name not in ("_core", "_loaded_file", "_code_of") or "_file" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _loading:
            if "_pickled" in self.__dict__:
                files = [self._file] if self._file.is_file() else []
                require_same(self._file, files, self._pickled["digests"])
                Descriptor.__init__(self, self._file, self._elements)
                del self._pickled
        return self.__dict__[name]

    @property
    def kind(self) -> str:
        """``SymmetryFunctions``, ``Bispectrum`` or ``SOAP``."""
        return str(self._core.kind)

    @property
    def elements(self) -> list[str]:
        """The elements, in the model's order."""
        return list(self._elements)

    @property
    def width(self) -> int:
        """The number of values for each atom."""
        return int(self._core.width)

    @property
    def cutoff(self) -> float:
        """The largest cutoff of any pair, Å."""
        return float(self._core.cutoff)

    def values(self, atoms: Structure) -> npt.NDArray[np.float64]:
        """Computes the descriptors, (n, width) float64.

        Raises:
            Error: for atoms of other elements, and for invalid structures.
        """
        return np.asarray(self._core.values(*self._arrays(atoms)))

    def vjp(self, atoms: Structure, weights: npt.ArrayLike) -> VectorJacobianProduct:
        """Computes the vector-Jacobian product: the gradient of sum(weights * values).

        Args:
            atoms: the structure.
            weights: (n, width), for example the gradient of an energy with respect to the
                descriptors.

        Raises:
            Error: as values, and for weights that have another shape or are not finite.
        """
        checked = floats("weights", weights, finite=True)
        return VectorJacobianProduct(*self._core.vjp(*self._arrays(atoms), checked))

    def _arrays(
        self, atoms: Structure
    ) -> tuple[
        npt.NDArray[np.int32],
        npt.NDArray[np.float64],
        npt.NDArray[np.float64],
        npt.NDArray[np.int64],
        npt.NDArray[np.int32],
    ]:
        symbols = atoms.get_chemical_symbols()
        for index, symbol in enumerate(symbols):
            if symbol not in self._code_of:
                raise Error(
                    f"atom {index} is {symbol}, which is not one of the descriptor's elements "
                    f"({', '.join(self._elements)})."
                )
        codes = np.array([self._code_of[symbol] for symbol in symbols], dtype=np.int32)
        positions = floats("positions", atoms.positions, finite=True)
        if positions.shape != (len(symbols), 3):
            raise Error(f"positions has the shape {positions.shape}; expected ({len(symbols)}, 3).")
        box, periodic = full_cell(np.asarray(atoms.cell), atoms.pbc)
        # Slightly more than the cutoff, since atoms exactly at the cutoff count.
        pairs, shifts = find_pairs(positions, box, periodic, self.cutoff * (1.0 + 1e-9))
        return codes, positions, box, pairs, shifts
