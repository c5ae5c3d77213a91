"""Descriptors of atomic structures, and the gradients that training needs of them.

The same code as in a simulation: what a model is trained on is what it is later run with.

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
    """What is asked of atoms; ASE's Atoms have it."""

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """(n, 3) Å."""

    @property
    def cell(self) -> npt.ArrayLike:
        """(3, 3) Å, the cell's vectors in rows."""

    @property
    def pbc(self) -> npt.ArrayLike:
        """(3,) in which directions the cell repeats."""

    def get_chemical_symbols(self) -> list[str]:
        """(n,) the elements."""


@dataclass(frozen=True)
class VectorJacobianProduct:
    """The gradient of sum(weights * values).

    Attributes:
        gradient: (n, 3) float64, with respect to the atoms' positions, in 1/Å times the unit of
            the weights. With weights dE/d(values), forces are minus this.
        virial: (6,) float64, with respect to the strain, in the order xx, yy, zz, yz, xz, xy:
            divided by the volume, ASE's stress.
    """

    gradient: npt.NDArray[np.float64]
    virial: npt.NDArray[np.float64]


class Descriptor:
    """The descriptor that a file describes.

    Args:
        file: a descriptor file (``*.dat``) as KLIFF or libdescriptor write it: symmetry functions,
            bispectrum components or SOAP.
        elements: the model's, in its own order. SOAP's columns follow that order; for the others
            it does not matter.

    Raises:
        Error: if the file cannot be read or is wrong.

    Uses torch's number of threads; results do not depend on it. Threads that share an object
    compute one after the other.

    A pickle holds where the file is and what it was, not its contents: another process loads it
    when it first needs it, and raises Error if the file is gone or no longer the same. Copies
    share what was loaded.
    """

    def __init__(self, file: str | os.PathLike[str], elements: Sequence[str]):
        if isinstance(elements, str):
            raise Error(
                f"elements is the single text {str(elements)!r}; expected a list of symbols, "
                "such as ['Si', 'C']."
            )
        self._elements = [str(element) for element in elements]
        for element in self._elements:
            if self._elements.count(element) > 1:
                raise Error(f"elements names {element} twice.")
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
        """Loads the file of an object that was unpickled; as in Potential."""
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
        """How many values an atom has."""
        return int(self._core.width)

    @property
    def cutoff(self) -> float:
        """Å: the largest of the pairs' cutoffs."""
        return float(self._core.cutoff)

    def values(self, atoms: Structure) -> npt.NDArray[np.float64]:
        """The descriptors: (n, width) float64.

        Raises:
            Error: for atoms of other elements, or a structure that makes no sense.
        """
        return np.asarray(self._core.values(*self._arrays(atoms)))

    def vjp(self, atoms: Structure, weights: npt.ArrayLike) -> VectorJacobianProduct:
        """The vector-Jacobian product: the gradient of sum(weights * values).

        Args:
            atoms: the structure.
            weights: (n, width), for instance the gradient of an energy with respect to the
                descriptors.

        Raises:
            Error: as values, and for weights of another shape or that are not finite.
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
                    f"atom {index} is {symbol}, for which there is no descriptor; "
                    f"there is one for {', '.join(self._elements)}."
                )
        codes = np.array([self._code_of[symbol] for symbol in symbols], dtype=np.int32)
        positions = floats("positions", atoms.positions, finite=True)
        if positions.shape != (len(symbols), 3):
            raise Error(f"positions has the shape {positions.shape}; expected ({len(symbols)}, 3).")
        box, periodic = full_cell(np.asarray(atoms.cell), atoms.pbc)
        # A little more than the cutoff: atoms exactly there count.
        pairs, shifts = find_pairs(positions, box, periodic, self.cutoff * (1.0 + 1e-9))
        return codes, positions, box, pairs, shifts
