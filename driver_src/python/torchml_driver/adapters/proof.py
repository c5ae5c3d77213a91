"""Compares a packed model, run by the driver's engine, with its library's own ASE calculator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from .._core import Error
from .._progress import report
from ..ase import TorchMLCalculator
from .base import Adapted
from .systems import systems

#: The largest relative difference that counts as rounding.
TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-5}
#: Some libraries round more than that, and show it by other results for the same system in another
#: order and place. So much more than their largest change counts as rounding, too, ...
_MARGIN = 3.0
#: ... but at most so many times the tolerance, whatever they do.
_MOST = 10.0
_COPIES = 3


@dataclass(frozen=True)
class Row:
    """The comparison on one system.

    Attributes:
        system: its name. atoms: their number.
        energy: the difference, eV/atom. forces: the largest difference of a component, eV/Å.
            stress: that of a component times the volume per atom, eV/atom; None where the system
            is not periodic in all directions.
        relative: the largest of the three, each relative to what it is a part of: the energy per
            atom, the largest force component, the largest virial component per atom; but at least
            to 1 eV, 1 eV/Å and 1 eV. Contributions of this size cancel where energies, forces or
            stresses vanish, as between atoms at rest, and their rounding remains.
        rounding: how much the library's own results change, relative as well, with the order and
            place of the atoms; None if that was not measured, as ``relative`` is within the
            tolerance.
        problem: the library's own message if its calculator fails on the system; the other fields
            then are None.
    """

    system: str
    atoms: int
    energy: float | None = None
    forces: float | None = None
    stress: float | None = None
    relative: float | None = None
    rounding: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Proof:
    """All comparisons. tolerance: what ``relative`` may be; more only where the library's own
    ``rounding`` is more. passed: whether it is, everywhere, and the library's calculator worked at
    least on the crystal and the molecule."""

    rows: tuple[Row, ...]
    tolerance: float
    passed: bool

    def as_json(self) -> dict[str, Any]:
        rows = [asdict(row) for row in self.rows]
        return {"rows": rows, "tolerance": self.tolerance, "passed": self.passed}


def prove(adapted: Adapted, model: Path) -> Proof:
    """Compares a portable model with the library's calculator.

    Raises:
        Error: if the model fails on a system on which the library's calculator works.
    """
    theirs = adapted.calculator()
    ours = TorchMLCalculator(model, device="cpu")
    made = list(systems(adapted.elements, adapted.cutoff, adapted.periodic_only))
    tolerance = TOLERANCES[adapted.arithmetic or adapted.dtype]
    rows = []
    for number, (name, atoms) in enumerate(made):
        report(number, len(made), f"comparing: {name}")
        rows.append(_row(name, atoms, theirs, ours, tolerance))
    worked = {row.system: row for row in rows if row.problem is None}
    passed = {"crystal", "molecule"} <= set(worked) and all(
        row.relative is not None and row.relative <= _allowed(row, tolerance)
        for row in worked.values()
    )
    return Proof(tuple(rows), tolerance, passed)


@dataclass(frozen=True)
class _Results:
    """energy: eV. forces: (n, 3) eV/Å. virial: (6,) eV, None if not defined."""

    energy: float
    forces: Any
    virial: Any


def _allowed(row: Row, tolerance: float) -> float:
    if row.rounding is None:
        return tolerance
    return max(tolerance, min(_MARGIN * row.rounding, _MOST * tolerance))


def _row(name: str, atoms: Atoms, theirs: Any, ours: Any, tolerance: float) -> Row:
    n = len(atoms)
    try:
        expected = _computed(atoms, theirs)
    except Exception as error:  # whatever a library raises
        return Row(name, n, problem=f"{type(error).__name__}: {' '.join(str(error).split())}")
    try:
        found = _computed(atoms, ours)
    except Error as error:
        raise Error(f"on the system '{name}': {error}") from error
    energy, forces, stress, relative = _differences(expected, found)
    rounding = None if relative <= tolerance else _own_rounding(atoms, expected, theirs)
    return Row(name, n, energy, forces, stress, relative, rounding)


def _differences(expected: _Results, found: _Results) -> tuple[float, float, float | None, float]:
    """The energy, forces, stress and relative of Row."""
    n = len(expected.forces)
    energy = abs(found.energy - expected.energy) / n
    forces = float(np.abs(found.forces - expected.forces).max())
    relative = [
        energy / max(abs(expected.energy) / n, 1.0),
        forces / max(float(np.abs(expected.forces).max()), 1.0),
    ]
    stress = None
    if expected.virial is not None:
        stress = float(np.abs(found.virial - expected.virial).max()) / n
        relative.append(stress / max(float(np.abs(expected.virial).max()) / n, 1.0))
    # max() may lose a nan.
    largest = max(relative) if np.isfinite(relative).all() else float("inf")
    return energy, forces, stress, largest


def _own_rounding(atoms: Atoms, expected: _Results, theirs: Any) -> float:
    """The largest relative change of the library's results with the order and place of atoms."""
    largest = 0.0
    for seed in range(_COPIES):
        random = np.random.default_rng(seed)
        order = random.permutation(len(atoms))
        copy = atoms[order]
        copy.positions += random.uniform(0.0, 3.0, size=3)
        copy.wrap()  # only where it is periodic
        found = _computed(copy, theirs)
        in_order = np.empty_like(found.forces)
        in_order[order] = found.forces
        again = _Results(found.energy, in_order, found.virial)
        change = _differences(expected, again)[3]
        largest = max(largest, change if np.isfinite(change) else 0.0)
    return largest


def _computed(atoms: Atoms, calculator: Any) -> _Results:
    """With a copy of the atoms: calculators may change them."""
    computed = atoms.copy()
    computed.calc = calculator
    energy = float(computed.get_potential_energy())
    forces = np.array(computed.get_forces(), dtype=np.float64)
    virial = None
    if computed.pbc.all():
        virial = np.array(computed.get_stress(), dtype=np.float64) * computed.get_volume()
    return _Results(energy, forces, virial)
