"""Descriptors of atomic structures, and what training wants of their derivatives.

The same code as in a simulation: what a model is trained on is what it is later run with.

>>> from torchml_driver.descriptors import Descriptor
>>> descriptor = Descriptor("descriptor.dat", ["Si", "C"])
>>> zeta = torch.tensor(descriptor.values(atoms), requires_grad=True)
>>> energy = network(zeta).sum()
>>> (dE_dzeta,) = torch.autograd.grad(energy, zeta)
>>> forces = -descriptor.products(atoms, dE_dzeta.numpy()).gradient
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from . import _core
from ._arrays import floats
from ._core import Error
from ._neighbours import find_pairs, full_cell


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
class Products:
    """Derivatives of sum(weights * values).

    Attributes:
        gradient: (n, 3) float64, by the atoms' positions, 1/Å times the unit of the weights. With
            weights dE/d(values), forces are minus this.
        virial: (6,) float64, by the strain, in the order xx, yy, zz, yz, xz, xy: divided by the
            volume, ASE's stress.
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
        self._core = _core.Descriptor(Path(file), self._elements)
        self._code_of = {element: code for code, element in enumerate(self._elements)}

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

    def products(self, atoms: Structure, weights: npt.ArrayLike) -> Products:
        """The derivatives of sum(weights * values), as backpropagation wants them.

        Args:
            atoms: the structure.
            weights: (n, width), for instance the derivatives of an energy by the descriptors.

        Raises:
            Error: as values, and for weights of another shape or that are not finite.
        """
        checked = floats("weights", weights, finite=True)
        return Products(*self._core.products(*self._arrays(atoms), checked))

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
