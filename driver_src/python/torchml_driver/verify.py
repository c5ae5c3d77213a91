"""Checks a portable model against what any potential has to obey, whatever it describes.

    python -m torchml_driver.verify MODEL [--json]

Forces are the negative gradient of the energy, the virial is its derivative by the strain, nothing
depends on where a system stands, how it is turned, in which order its particles are listed or how
many copies of its cell are spelt out, parts that do not reach each other do not know of each other,
and the energy does not jump where a pair comes within the cutoff. The model is run by the engine
that simulators run it with; structures are crystals shaken at random, always the same ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ._core import Error
from .potential import Potential, Result
from .structures import Floats, Structure, shaken_crystal

#: By the bits of the model's floating-point type: the step of finite differences (Å), what they may
#: be off, and what may differ between two ways to the same number, both relative.
_STEP = {64: 1e-4, 32: 2e-2, 16: 1e-1}
_DIFFERENCES = {64: 1e-5, 32: 3e-2, 16: 3e-1}
_ROUNDING = {64: 1e-9, 32: 1e-4, 16: 3e-2}

_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Check:
    """One property.

    deviation: the largest one found; tolerance: what would have passed, in the same unit.
    """

    name: str
    passed: bool
    deviation: float
    tolerance: float
    unit: str
    explanation: str


def verify(potential: Potential) -> list[Check]:
    """Runs all checks.

    Raises:
        Error: if the model fails on an ordinary structure.
    """
    checks = []
    for name, unit, explanation, run in (
        ("repeatable", "eV", "the same system twice gives two energies", _repeatable),
        ("forces", "eV/Å", "forces are not the negative gradient of the energy", _forces),
        ("virial", "eV", "the virial is not the energy's derivative by the strain", _virial),
        ("particle energies", "eV", "they do not add up to the energy", _particle_energies),
        ("translation", "eV", "the energy depends on where the system stands", _translation),
        ("rotation", "eV", "the energy depends on how the system is turned", _rotation),
        ("permutation", "eV", "the energy depends on the particles' order", _permutation),
        ("repeated cell", "eV", "two copies of a cell have not twice its energy", _repeated_cell),
        (
            "locality",
            "eV",
            "parts farther apart than cutoff and layers allow know of each other",
            _locality,
        ),
        ("cutoff", "eV", "the energy jumps where a pair comes within the cutoff", _cutoff),
    ):
        deviation, tolerance = run(potential)
        passed = bool(deviation <= tolerance)
        checks.append(
            Check(name, passed, deviation, tolerance, unit, "" if passed else explanation)
        )
    return checks


def _compute(potential: Potential, structure: Structure, **wanted: bool) -> Result:
    cell = structure.cell if structure.periodic else None
    return potential.compute(
        structure.species, structure.positions, cell, structure.periodic, **wanted
    )


def _energy(potential: Potential, structure: Structure) -> float:
    return _compute(potential, structure, forces=False).energy


def _moved(structure: Structure, positions: Floats, cell: Floats | None = None) -> Structure:
    cell = structure.cell if cell is None else cell
    return Structure(structure.species, positions, cell, structure.periodic)


def _rounding(potential: Potential, energy: float) -> float:
    return _ROUNDING[potential.precision] * max(abs(energy), 1.0)


def _derivative(potential: Potential, energy: Callable[[float], float]) -> float:
    """Of fourth order in the step."""
    h = _STEP[potential.precision]
    near, far = energy(h) - energy(-h), energy(2 * h) - energy(-2 * h)
    return (8 * near - far) / (12 * h)


def _difference_tolerance(potential: Potential, scale: float, energy: float) -> float:
    """Of a derivative; differences of energies know it no better than their last digits."""
    bits = {64: 2.0**-52, 32: 2.0**-23, 16: 2.0**-10}[potential.precision]
    noise = 10 * bits * max(abs(energy), 1.0) / _STEP[potential.precision]
    return _DIFFERENCES[potential.precision] * max(scale, 1e-2) + noise


def _repeatable(potential: Potential) -> tuple[float, float]:
    structure = shaken_crystal(potential)
    energies = [_energy(potential, structure) for _ in range(4)]
    return max(energies) - min(energies), _rounding(potential, energies[0])


def _forces(potential: Potential) -> tuple[float, float]:
    worst, tolerance = 0.0, 0.0
    for periodic in (True, False):
        structure = shaken_crystal(potential, periodic=periodic)
        result = _compute(potential, structure)
        assert result.forces is not None
        scale = float(np.abs(result.forces).max())
        tolerance = max(tolerance, _difference_tolerance(potential, scale, result.energy))
        for particle, axis in ((0, 0), (5, 1), (17, 2), (30, 0)):

            def energy(
                shift: float,
                structure: Structure = structure,
                place: tuple[int, int] = (particle, axis),
            ) -> float:
                positions = structure.positions.copy()
                positions[place] += shift
                return _energy(potential, _moved(structure, positions))

            expected = -_derivative(potential, energy)
            worst = max(worst, abs(float(result.forces[particle, axis]) - expected))
    return worst, tolerance


def _virial(potential: Potential) -> tuple[float, float]:
    structure = shaken_crystal(potential)
    result = _compute(potential, structure)
    assert result.virial is not None
    scale = float(np.abs(result.virial).max())
    worst = 0.0
    for index, (row, column) in enumerate(_VOIGT):

        def energy(size: float, row: int = row, column: int = column) -> float:
            strain = np.eye(3)
            strain[row, column] += size / 2
            strain[column, row] += size / 2
            # Å of the step, over the crystal's size, are the strain.
            return _energy(
                potential, _moved(structure, structure.positions @ strain, structure.cell @ strain)
            )

        worst = max(worst, abs(float(result.virial[index]) - _derivative(potential, energy)))
    return worst, _difference_tolerance(potential, scale, result.energy)


def _particle_energies(potential: Potential) -> tuple[float, float]:
    structure = shaken_crystal(potential)
    try:
        result = _compute(potential, structure, forces=False, particle_energies=True)
    except Error:  # a model need not give them
        return 0.0, 0.0
    assert result.particle_energies is not None
    deviation = abs(float(result.particle_energies.sum()) - result.energy)
    return deviation, _rounding(potential, result.energy)


def _largest_change(
    potential: Potential, structure: Structure, others: Iterator[Structure]
) -> tuple[float, float]:
    energy = _energy(potential, structure)
    worst = max(abs(_energy(potential, other) - energy) for other in others)
    return worst, _rounding(potential, energy)


def _translation(potential: Potential) -> tuple[float, float]:
    structure = shaken_crystal(potential)
    shifts = (np.array([0.3, -1.7, 12.9]), structure.cell[0] - 2 * structure.cell[2])
    moved = (_moved(structure, structure.positions + shift) for shift in shifts)
    return _largest_change(potential, structure, moved)


def _rotation(potential: Potential) -> tuple[float, float]:
    structure = shaken_crystal(potential)
    random = np.random.default_rng(3)

    def turned() -> Iterator[Structure]:
        for _ in range(3):
            rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
            rotation *= np.linalg.det(rotation)  # proper: a model may tell left from right
            yield _moved(structure, structure.positions @ rotation, structure.cell @ rotation)

    return _largest_change(potential, structure, turned())


def _permutation(potential: Potential) -> tuple[float, float]:
    structure = shaken_crystal(potential)
    order = np.random.default_rng(4).permutation(len(structure.species))
    shuffled = Structure(
        [structure.species[index] for index in order],
        structure.positions[order],
        structure.cell,
        structure.periodic,
    )
    return _largest_change(potential, structure, iter([shuffled]))


def _repeated_cell(potential: Potential) -> tuple[float, float]:
    structure = shaken_crystal(potential)
    energy = _energy(potential, structure)
    worst = 0.0
    for axis in range(3):
        cell = structure.cell.copy()
        cell[axis] *= 2
        both = np.concatenate([structure.positions, structure.positions + structure.cell[axis]])
        doubled = Structure(structure.species * 2, both, cell, structure.periodic)
        worst = max(worst, abs(_energy(potential, doubled) - 2 * energy))
    return worst, 2 * _rounding(potential, energy)


def _locality(potential: Potential) -> tuple[float, float]:
    one, other = (shaken_crystal(potential, periodic=False, seed=seed) for seed in (1, 2))
    apart = float(np.ptp(one.positions[:, 0])) + 1.01 * potential.influence_distance
    start = one.positions[:, 0].min() - other.positions[:, 0].min()
    moved = other.positions + np.array([start + apart, 0.0, 0.0])
    together = Structure(
        one.species + other.species,
        np.concatenate([one.positions, moved]),
        one.cell,
        periodic=False,
    )
    expected = _energy(potential, one) + _energy(potential, other)
    return abs(_energy(potential, together) - expected), _rounding(potential, expected)


def _cutoff(potential: Potential) -> tuple[float, float]:
    """Of every pair of elements; what the slope at the cutoff may give is no jump."""
    gap = 1e-6 * potential.cutoff
    worst, largest = 0.0, 0.0
    for index, first in enumerate(potential.elements):
        for second in potential.elements[index:]:

            def energy(distance: float, pair: tuple[str, str] = (first, second)) -> float:
                positions = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
                return _energy(potential, Structure(list(pair), positions, np.eye(3), False))

            outside = energy(potential.cutoff + gap)
            worst = max(worst, abs(energy(potential.cutoff - gap) - outside))
            largest = max(largest, abs(outside))
    return worst, 1e-5 + _rounding(potential, largest)


def main() -> int:
    """Prints the checks; 0 if all passed, 1 if one did not, 2 if the model fails."""
    parser = argparse.ArgumentParser(
        prog="python -m torchml_driver.verify", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("model", type=Path, help="portable-model folder or its *.param file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    try:
        checks = verify(Potential(arguments.model))
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps([vars(check) for check in checks]))
    else:
        for check in checks:
            state = "ok" if check.passed else "FAILED"
            numbers = f"{check.deviation:.1e} {check.unit} (up to {check.tolerance:.1e})"
            print(f"{check.name:18} {state:7} {numbers}  {check.explanation}".rstrip())
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
