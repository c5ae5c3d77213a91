"""Checks a portable model against the physics that every potential obeys.

    python -m torchml_driver.verify MODEL [--quick] [--json]

Forces are the negative gradient of the energy; the virial is its derivative with respect to the
strain. Energies do not change when a system is moved, rotated, listed in another order or given as
several copies of its cell. Atoms beyond the influence distance do not affect each other, and the
energy does not jump where a pair crosses the cutoff. The parts that a simulator gives to MPI ranks
add up: particles of other ranks and periodic images get their own forces, and a rank may have next
to nothing: atoms without neighbours, no particles, or half of a pair. The engine of simulations
runs the model; structures are crystals and clusters rattled at random, always the same ones.

With --quick, the checks of `torchml-install model pack`: a few particles in open space, in seconds
whatever the model, and nothing refused that single precision explains.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ._core import Error
from ._progress import report
from ._requests import is_request, serve
from .potential import Potential, Result
from .species_codes import find
from .structures import Cluster, Floats, Structure, cluster, rattled_crystal

#: By the bits of the model's floating-point type: the step of finite differences (Å), what they may
#: be off, and what may differ between two ways to the same number, both relative.
_STEP = {64: 1e-4, 32: 2e-2, 16: 1e-1}
_DIFFERENCES = {64: 1e-5, 32: 3e-2, 16: 3e-1}
_ROUNDING = {64: 1e-9, 32: 1e-4, 16: 3e-2}

#: Checks that a model may fail and still be packed: the user is warned.
NOT_SERIOUS = ("cutoff",)
#: Checks of systems that a model need not be made for: the user is warned where it raises an error,
#: but not where it gives a wrong number.
_MAY_RAISE = ("isolated atoms", "empty region", "one pair")
#: How many of a model's elements quick checks take.
_FEW_ELEMENTS = 3

_DIVIDED_SIZE = 14

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Check:
    """One property.

    deviation: the largest one found; tolerance: what would have passed, in the same unit.
    serious: whether results are wrong without it; a model is not packed then.
    """

    name: str
    passed: bool
    deviation: float
    tolerance: float
    unit: str
    explanation: str
    serious: bool = True


#: Name, unit, explanation; and what gives a deviation and what would be rounding.
_Asked = tuple[str, str, str, Callable[[Potential], tuple[float, float]]]


def verify(potential: Potential) -> list[Check]:
    """Runs all checks.

    Raises:
        Error: if the model fails on an ordinary structure.
    """
    checks = []
    asked: tuple[_Asked, ...] = (
        (
            "species codes",
            "eV",
            "the model does not record whether species codes are 0, 1, … or atomic numbers, which "
            "makes a difference: pack it with --atomic-numbers or --species-codes",
            _species_codes,
        ),
        ("repeatable", "eV", "the same system gives different energies", _repeatable),
        ("forces", "eV/Å", "forces are not the negative gradient of the energy", _forces),
        ("virial", "eV", "the virial is not the energy's strain derivative", _virial),
        ("particle energies", "eV", "they do not add up to the energy", _particle_energies),
        ("translation", "eV", "the energy changes when the system is moved", _translation),
        (
            "far from origin",
            "eV/Å",
            "forces depend on the distance from the origin",
            _far_from_origin,
        ),
        ("rotation", "eV", "the energy changes when the system is rotated", _rotation),
        ("permutation", "eV", "the energy depends on the order of the atoms", _permutation),
        (
            "repeated cell",
            "eV",
            "two copies of a cell do not have twice its energy",
            _repeated_cell,
        ),
        (
            "locality",
            "eV",
            "atoms beyond the influence distance affect each other",
            _locality,
        ),
        (*_CUTOFF, _cutoff),
        *(
            (*words, partial(run, bits=potential.precision))
            for words, run in (*_AMONG_RANKS, *_NEXT_TO_NOTHING)
        ),
    )
    for number, (name, unit, explanation, deviations) in enumerate(asked):
        report(number, len(asked), name)
        deviation, tolerance = deviations(potential)
        checks.append(_check(name, unit, explanation, deviation, tolerance))
    return checks


def verify_quickly(potential: Potential) -> list[Check]:
    """Runs the checks of QUICK, in seconds whatever the model.

    Raises:
        Error: if the model fails on an ordinary structure.
    """
    checks = []
    for (name, unit, explanation), run in _QUICK:
        # A model that takes float64 may compute in less; what that explains is no fault.
        for bits in sorted({potential.precision, min(potential.precision, 32)}, reverse=True):
            try:
                deviation, tolerance = run(potential, bits)
            except Error as error:
                if name not in (*NOT_SERIOUS, *_MAY_RAISE):
                    raise
                check = Check(name, False, 0.0, 0.0, unit, str(error), serious=False)
                break
            check = _check(name, unit, explanation, deviation, tolerance)
            if check.passed:
                break
        checks.append(check)
    return checks


def _check(name: str, unit: str, explanation: str, deviation: float, tolerance: float) -> Check:
    passed = bool(deviation <= tolerance)
    return Check(
        name,
        passed,
        deviation,
        tolerance,
        unit,
        "" if passed else explanation,
        name not in NOT_SERIOUS,
    )


def compute(potential: Potential, structure: Structure, **wanted: bool) -> Result:
    cell = structure.cell if structure.periodic else None
    return potential.compute(
        structure.species, structure.positions, cell, structure.periodic, **wanted
    )


def energy_of(potential: Potential, structure: Structure) -> float:
    return compute(potential, structure, forces=False).energy


def with_positions(
    structure: Structure, positions: Floats, cell: Floats | None = None
) -> Structure:
    cell = structure.cell if cell is None else cell
    return Structure(structure.species, positions, cell, structure.periodic)


def _rounding(potential: Potential, energy: float, bits: int | None = None) -> float:
    return _ROUNDING[bits or potential.precision] * max(abs(energy), 1.0)


def derivative(
    potential: Potential, energy: Callable[[float], float], bits: int | None = None
) -> float:
    """Of fourth order in the step."""
    h = _STEP[bits or potential.precision]
    near, far = energy(h) - energy(-h), energy(2 * h) - energy(-2 * h)
    return (8 * near - far) / (12 * h)


def difference_tolerance(
    potential: Potential, scale: float, energy: float, bits: int | None = None
) -> float:
    """Of a derivative; differences of energies know it no better than their last digits."""
    bits = bits or potential.precision
    last_digit = {64: 2.0**-52, 32: 2.0**-23, 16: 2.0**-10}[bits]
    noise = 10 * last_digit * max(abs(energy), 1.0) / _STEP[bits]
    return _DIFFERENCES[bits] * max(scale, 1e-2) + noise


def _species_codes(potential: Potential) -> tuple[float, float]:
    """Of portable models that do not record them."""
    if potential._core.recorded_atomic_numbers is not None:
        return 0.0, 0.0
    finding = find(potential)
    by_codes, by_numbers = finding.energies
    if finding.outcome in ("none", "either"):
        return 0.0, 0.0
    if finding.outcome == ("atomic_numbers" if potential.atomic_numbers else "codes"):
        return 0.0, 0.0
    if by_codes is None or by_numbers is None:
        given, wanted, remedy = (
            ("atomic numbers", "0, 1, …", "unset KIM_MODEL_ELEMENTS_MAP, and pack it again")
            if potential.atomic_numbers
            else ("0, 1, …", "atomic numbers", "pack it again with --atomic-numbers")
        )
        raise Error(
            f"the model fails with {given} as species codes, and runs with {wanted}: {remedy}."
        )
    return abs(by_codes - by_numbers), 0.0


def _repeatable(potential: Potential) -> tuple[float, float]:
    structure = rattled_crystal(potential)
    energies = [energy_of(potential, structure) for _ in range(4)]
    return max(energies) - min(energies), _rounding(potential, energies[0])


def _forces(potential: Potential) -> tuple[float, float]:
    worst, tolerance = 0.0, 0.0
    for periodic in (True, False):
        structure = rattled_crystal(potential, periodic=periodic)
        result = compute(potential, structure)
        assert result.forces is not None
        scale = float(np.abs(result.forces).max())
        tolerance = max(tolerance, difference_tolerance(potential, scale, result.energy))
        for particle, axis in ((0, 0), (5, 1), (17, 2), (30, 0)):

            def energy(
                shift: float,
                structure: Structure = structure,
                place: tuple[int, int] = (particle, axis),
            ) -> float:
                positions = structure.positions.copy()
                positions[place] += shift
                return energy_of(potential, with_positions(structure, positions))

            expected = -derivative(potential, energy)
            worst = max(worst, abs(float(result.forces[particle, axis]) - expected))
    return worst, tolerance


def _virial(potential: Potential) -> tuple[float, float]:
    structure = rattled_crystal(potential)
    result = compute(potential, structure)
    assert result.virial is not None
    scale = float(np.abs(result.virial).max())
    worst = 0.0
    for given, expected in zip(result.virial, virial_by_strain(potential, structure), strict=True):
        worst = max(worst, abs(float(given) - expected))
    return worst, difference_tolerance(potential, scale, result.energy)


def virial_by_strain(potential: Potential, structure: Structure) -> list[float]:
    """The energy's derivative by each component of the strain, eV."""
    found = []
    for row, column in VOIGT:

        def energy(size: float, row: int = row, column: int = column) -> float:
            strain = np.eye(3)
            strain[row, column] += size / 2
            strain[column, row] += size / 2
            # Å of the step, over the crystal's size, are the strain.
            return energy_of(
                potential,
                with_positions(structure, structure.positions @ strain, structure.cell @ strain),
            )

        found.append(derivative(potential, energy))
    return found


def _particle_energies(potential: Potential) -> tuple[float, float]:
    structure = rattled_crystal(potential)
    try:
        result = compute(potential, structure, forces=False, particle_energies=True)
    except Error:  # a model need not give them
        return 0.0, 0.0
    assert result.particle_energies is not None
    deviation = abs(float(result.particle_energies.sum()) - result.energy)
    return deviation, _rounding(potential, result.energy)


def _largest_change(
    potential: Potential, structure: Structure, others: Iterator[Structure]
) -> tuple[float, float]:
    energy = energy_of(potential, structure)
    worst = max(abs(energy_of(potential, other) - energy) for other in others)
    return worst, _rounding(potential, energy)


def _translation(potential: Potential) -> tuple[float, float]:
    structure = rattled_crystal(potential)
    shifts = (np.array([0.3, -1.7, 12.9]), structure.cell[0] - 2 * structure.cell[2])
    moved = (with_positions(structure, structure.positions + shift) for shift in shifts)
    return _largest_change(potential, structure, moved)


def _far_from_origin(potential: Potential) -> tuple[float, float]:
    """Coordinates of 5,000 Å have four digits less than a crystal's own."""
    structure = rattled_crystal(potential)
    forces = compute(potential, structure).forces
    moved = with_positions(structure, structure.positions + np.array([5000.3, -5000.7, 5000.1]))
    others = compute(potential, moved).forces
    assert forces is not None
    assert others is not None
    scale = max(float(np.abs(forces).max()), 1.0)
    return float(np.abs(others - forces).max()), _ROUNDING[potential.precision] * scale


def _rotation(potential: Potential) -> tuple[float, float]:
    structure = rattled_crystal(potential)
    random = np.random.default_rng(3)

    def turned() -> Iterator[Structure]:
        for _ in range(3):
            rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
            rotation *= np.linalg.det(rotation)  # proper: a model may tell left from right
            yield with_positions(
                structure, structure.positions @ rotation, structure.cell @ rotation
            )

    return _largest_change(potential, structure, turned())


def _permutation(potential: Potential) -> tuple[float, float]:
    structure = rattled_crystal(potential)
    order = np.random.default_rng(4).permutation(len(structure.species))
    shuffled = Structure(
        [structure.species[index] for index in order],
        structure.positions[order],
        structure.cell,
        structure.periodic,
    )
    return _largest_change(potential, structure, iter([shuffled]))


def _repeated_cell(potential: Potential) -> tuple[float, float]:
    structure = rattled_crystal(potential)
    energy = energy_of(potential, structure)
    worst = 0.0
    for axis in range(3):
        cell = structure.cell.copy()
        cell[axis] *= 2
        both = np.concatenate([structure.positions, structure.positions + structure.cell[axis]])
        doubled = Structure(structure.species * 2, both, cell, structure.periodic)
        worst = max(worst, abs(energy_of(potential, doubled) - 2 * energy))
    return worst, 2 * _rounding(potential, energy)


def _locality(potential: Potential) -> tuple[float, float]:
    one, other = (rattled_crystal(potential, periodic=False, seed=seed) for seed in (1, 2))
    apart = float(np.ptp(one.positions[:, 0])) + 1.01 * potential.influence_distance
    start = one.positions[:, 0].min() - other.positions[:, 0].min()
    moved = other.positions + np.array([start + apart, 0.0, 0.0])
    together = Structure(
        one.species + other.species,
        np.concatenate([one.positions, moved]),
        one.cell,
        periodic=False,
    )
    expected = energy_of(potential, one) + energy_of(potential, other)
    return abs(energy_of(potential, together) - expected), _rounding(potential, expected)


def _cutoff(
    potential: Potential, bits: int | None = None, most_elements: int | None = None
) -> tuple[float, float]:
    """Of every pair of elements; what the slope at the cutoff may give is no jump."""
    gap = 1e-6 * potential.cutoff
    worst, largest = 0.0, 0.0
    n_elements = len(potential.elements[:most_elements])
    both = np.ones(2, dtype=np.intp)
    for first in range(n_elements):
        for second in range(first, n_elements):

            def energy(distance: float, pair: tuple[int, int] = (first, second)) -> float:
                positions = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
                return Cluster(np.array(pair), positions, both).compute(potential).energy

            outside = energy(potential.cutoff + gap)
            worst = max(worst, abs(energy(potential.cutoff - gap) - outside))
            largest = max(largest, abs(outside))
    return worst, 1e-5 + _rounding(potential, largest, bits)


# --- what is divided among ranks ------------------------------------------------------------------


def _divided(potential: Potential, bits: int) -> Cluster:
    """Half of it is another rank's; no pair crosses the cutoff while energies are differentiated,
    of which a model whose energy jumps there would make other forces."""
    return cluster(potential, _DIVIDED_SIZE, room=5 * _STEP[bits])


def _force_tolerance(bits: int, forces: Floats) -> float:
    return _ROUNDING[bits] * len(forces) * max(float(np.abs(forces).max()), 1e-2)


def _steady(potential: Potential, bits: int) -> tuple[float, float]:
    system = _divided(potential, bits)
    energies = [system.compute(potential).energy for _ in range(3)]
    return max(energies) - min(energies), _rounding(potential, energies[0], bits)


def _net_force(potential: Potential, bits: int) -> tuple[float, float]:
    forces = _divided(potential, bits).compute(potential, forces=True).forces
    assert forces is not None
    return float(np.abs(forces.sum(axis=0)).max()), _force_tolerance(bits, forces)


def _change(potential: Potential, system: Cluster, bits: int, direction: Floats) -> float:
    """The energy's derivative by how far the particles go; the farthest goes one unit."""

    def energy(step: float) -> float:
        return system.compute(potential, system.positions + step * direction).energy

    return derivative(potential, energy, bits)


def _length(direction: Floats) -> float:
    return float(np.linalg.norm(direction, axis=1).max())


def _ghost_forces(potential: Potential, bits: int) -> tuple[float, float]:
    """Particles that contribute, then those that do not, moved at random."""
    system = _divided(potential, bits)
    result = system.compute(potential, forces=True)
    assert result.forces is not None
    scale = float(np.abs(result.forces).max())
    random = np.random.default_rng(7)
    worst = 0.0
    for whose in (0, 1, 0, 1):
        direction = random.normal(size=system.positions.shape)
        direction[system.contributing != whose] = 0.0
        direction /= _length(direction)
        expected = -_change(potential, system, bits, direction)
        worst = max(worst, abs(float((result.forces * direction).sum()) - expected))
    return worst, difference_tolerance(potential, scale, result.energy, bits)


def _ghost_virial(potential: Potential, bits: int) -> tuple[float, float]:
    system = _divided(potential, bits)
    result = system.compute(potential, forces=True)
    assert result.virial is not None
    scale = float(np.abs(result.virial).max())
    random = np.random.default_rng(8)
    worst, longest = 0.0, 1.0
    for _ in range(2):
        strain = random.uniform(-1.0, 1.0, size=(3, 3))
        strain += strain.T
        direction = system.positions @ strain
        length = _length(direction)
        expected = length * _change(potential, system, bits, direction / length)
        parts = [strain[row, column] * (1 if row == column else 2) for row, column in VOIGT]
        worst = max(worst, abs(float(np.dot(parts, result.virial)) - expected))
        longest = max(longest, length)
    return worst, longest * difference_tolerance(potential, scale, result.energy, bits)


def _ranks_energies(potential: Potential, bits: int) -> tuple[float, float]:
    system = _divided(potential, bits)
    parts = (system.contributing, 1 - system.contributing)
    everybody = np.ones_like(system.contributing)
    whole = system.compute(potential, contributing=everybody).energy
    total = sum(system.compute(potential, contributing=part).energy for part in parts)
    return abs(total - whole), _rounding(potential, whole, bits)


def _ranks_forces(potential: Potential, bits: int) -> tuple[float, float]:
    system = _divided(potential, bits)
    parts = (system.contributing, 1 - system.contributing)
    everybody = np.ones_like(system.contributing)
    whole = system.compute(potential, contributing=everybody, forces=True).forces
    assert whole is not None
    total = np.zeros_like(whole)
    for part in parts:
        forces = system.compute(potential, contributing=part, forces=True).forces
        assert forces is not None
        total += forces
    return float(np.abs(total - whole).max()), _force_tolerance(bits, whole)


# --- next to nothing ------------------------------------------------------------------------------


@contextmanager
def _trying(what: str) -> Iterator[None]:
    """Says what the model failed on, where that is not an ordinary structure."""
    try:
        yield
    except Error as error:
        raise Error(f"on {what}: {error}") from error


def _isolated_atoms(
    potential: Potential, bits: int, most_elements: int | None = None
) -> tuple[float, float]:
    """Each element alone, and all of them out of each other's reach."""
    elements = potential.elements[:most_elements]
    energies = []
    for element in elements:
        with _trying(f"an isolated atom of {element}"):
            energies.append(_particles(potential, [element], np.zeros((1, 3)), [1]).energy)
    species = elements * 2
    positions = np.zeros((len(species), 3))
    positions[:, 0] = np.arange(len(species)) * 1.01 * potential.influence_distance
    with _trying("atoms without neighbours"):
        result = _particles(potential, species, positions, [1] * len(species))
    assert result.forces is not None
    deviation = abs(result.energy - 2 * sum(energies)) + float(np.abs(result.forces).max())
    return deviation, _rounding(potential, 2 * sum(map(abs, energies)), bits)


def _particles(
    potential: Potential, species: list[str], positions: Floats, contributing: list[int]
) -> Result:
    """What an MPI rank hands over."""
    distances = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.fill_diagonal(distances, np.inf)
    near = distances < potential.cutoff
    codes = [potential.species_codes[potential.elements.index(name)] for name in species]
    counts, (_, neighbours) = near.sum(axis=1), near.nonzero()
    return potential.compute_particles(codes, positions, contributing, counts, neighbours)


def _empty_region(potential: Potential, bits: int) -> tuple[float, float]:
    """A rank with other ranks' particles only, and one without any."""
    worst = 0.0
    crystal = rattled_crystal(potential, periodic=False)
    for n in (len(crystal.species), 0):
        with _trying("a region without particles of its own"):
            result = _particles(potential, crystal.species[:n], crystal.positions[:n], [0] * n)
        assert result.forces is not None
        worst = max(worst, abs(result.energy), float(np.abs(result.forces).max(initial=0.0)))
    return worst, 0.0


def _one_pair(
    potential: Potential, bits: int, most_elements: int | None = None
) -> tuple[float, float]:
    """Each element with the next; on one rank, and shared by two."""
    worst, largest = 0.0, 0.0
    positions = 0.7 * potential.cutoff * np.array([[0.0, 0.0, 0.0], [0.48, -0.6, 0.64]])
    elements = potential.elements[:most_elements]
    for pair in zip(elements, elements[1:] + elements[:1], strict=True):
        with _trying(f"a pair of {pair[0]} and {pair[1]}"):
            whole, one, other = (
                _particles(potential, list(pair), positions, contributing)
                for contributing in ([1, 1], [1, 0], [0, 1])
            )
        assert whole.forces is not None
        assert one.forces is not None
        assert other.forces is not None
        worst = max(
            worst,
            abs(one.energy + other.energy - whole.energy),
            float(np.abs(one.forces + other.forces - whole.forces).max()),
            float(np.abs(whole.forces.sum(axis=0)).max()),
        )
        largest = max(largest, abs(whole.energy), float(np.abs(whole.forces).max()))
    return worst, _rounding(potential, largest, bits)


#: Name, unit and explanation, and what runs with as many ``bits`` as it is told.
_Divided = tuple[tuple[str, str, str], Callable[..., tuple[float, float]]]

_AMONG_RANKS: tuple[_Divided, ...] = (
    (
        (
            "net force",
            "eV/Å",
            "forces on all particles, periodic images and those of other ranks included, do not "
            "add up to zero",
        ),
        _net_force,
    ),
    (
        (
            "ghost forces",
            "eV/Å",
            "forces on particles that do not contribute (periodic images, those of other ranks) or "
            "on their neighbours are not the negative gradient of the energy",
        ),
        _ghost_forces,
    ),
    (
        (
            "ghost virial",
            "eV",
            "the virial is not the energy's strain derivative where some particles do not "
            "contribute",
        ),
        _ghost_virial,
    ),
    (
        (
            "ranks' energies",
            "eV",
            "the energies of two halves of a system, each computed with the other half as "
            "particles that do not contribute, do not add up to that of the whole",
        ),
        _ranks_energies,
    ),
    (
        (
            "ranks' forces",
            "eV/Å",
            "the forces of two halves of a system, each computed with the other half as "
            "particles that do not contribute, do not add up to those of the whole",
        ),
        _ranks_forces,
    ),
)

_NEXT_TO_NOTHING: tuple[_Divided, ...] = (
    (
        (
            "isolated atoms",
            "eV",
            "atoms without neighbours have forces, or energies other than each has alone",
        ),
        _isolated_atoms,
    ),
    (
        (
            "empty region",
            "eV",
            "an MPI rank without particles of its own gives an energy or forces",
        ),
        _empty_region,
    ),
    (
        ("one pair", "eV", "a pair's energy differs when two MPI ranks share it"),
        _one_pair,
    ),
)

_CUTOFF = (
    "cutoff",
    "eV",
    "the energy jumps where a pair crosses the cutoff: check that it is the model's own, in Å",
)

_QUICK: tuple[_Divided, ...] = (
    (("repeatable", "eV", "the same system gives different energies"), _steady),
    *_AMONG_RANKS,
    (_NEXT_TO_NOTHING[0][0], partial(_isolated_atoms, most_elements=_FEW_ELEMENTS)),
    _NEXT_TO_NOTHING[1],
    (_NEXT_TO_NOTHING[2][0], partial(_one_pair, most_elements=_FEW_ELEMENTS)),
    (
        _CUTOFF,
        partial(_cutoff, most_elements=_FEW_ELEMENTS),
    ),
)

#: The names of the checks that `model pack` runs.
QUICK = tuple(words[0] for words, _ in _QUICK)


def answered(request: Mapping[str, Any]) -> Any:
    """The checks of ``model``, a portable model; see _requests.

    With ``report``, the command that the user typed: an object with ``about``, ``checks``,
    ``curves`` (the modules of these names) and ``html``, a report on them.
    """
    os.environ.pop("KIM_MODEL_GHOSTS", None)  # checks have ghosts that are not images
    potential = Potential(request["model"])
    checks = [asdict(check) for check in verify(potential)]
    if request.get("report") is None:
        return checks
    from .about import about
    from .curves import curves
    from .report.of_verify import html

    found = {
        "about": about(potential, request["report"]),
        "checks": checks,
        "curves": curves(potential),
    }
    return {**found, "html": html(found)}


def main() -> int:
    """Prints the checks; 0 if all passed, 1 if one did not, 2 if the model fails."""
    parser = argparse.ArgumentParser(
        prog="python -m torchml_driver.verify", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("model", type=Path, help="portable-model folder or its *.param file")
    parser.add_argument("--quick", action="store_true", help="only what takes seconds")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    os.environ.pop("KIM_MODEL_GHOSTS", None)
    try:
        potential = Potential(arguments.model)
        checks = verify_quickly(potential) if arguments.quick else verify(potential)
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps([asdict(check) for check in checks]))
    else:
        for check in checks:
            state = "ok" if check.passed else "FAILED"
            numbers = f"{check.deviation:.1e} {check.unit} (up to {check.tolerance:.1e})"
            print(f"{check.name:18} {state:7} {numbers}  {check.explanation}".rstrip())
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(serve(answered) if is_request() else main())
