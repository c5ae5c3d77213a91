"""What a report on a model's physics plots: forces beside differences of the energy, the virial,
pairs of atoms at all distances, the last of their energy before the cutoff, and a short run at
constant energy.

These show where a check fails, and how a model behaves that passes. Slow models get fewer points:
each part takes some seconds, or as few evaluations as make sense.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._core import Error, atomic_number
from .potential import Potential, Result
from .structures import Cluster, Floats, Structure, rattled_crystal
from .verify import (
    VOIGT,
    compute,
    derivative,
    difference_tolerance,
    energy_of,
    virial_by_strain,
    with_positions,
)

#: Seconds that each part may take, if the model is fast enough.
_SECONDS = 2.5
#: Pairs of elements: all of so many elements.
_MOST_ELEMENTS = 4
#: Which elements are shown first of a model that knows many: those that materials have most often.
_COMMON = (
    *("Si", "O", "C", "H", "Fe", "Al", "N", "Ti", "Li", "Na", "Cl", "Cu", "Mg", "Ni", "Ca", "S"),
)
#: Å: the shortest distance of a pair, and how far beyond the cutoff the longest is.
_SHORTEST, _BEYOND = 0.5, 0.2
#: Å: what is shown of the last of a pair's interaction.
_LAST = 0.4
#: Å, as a part of the cutoff: the gap across which the check of the cutoff compares.
_GAP = 1e-6
#: K, eV/K; and what makes Å/fs² of eV/Å/u.
_TEMPERATURE, _BOLTZMANN, _ACCELERATION = 300.0, 8.617333262e-5, 9.648533212e-3


def curves(potential: Potential) -> dict[str, Any]:
    """All of them, as JSON has them; see the functions for what is in each."""
    shown = shown_elements(potential.elements)
    dimers = [
        dimer(potential, first, second, _SECONDS / (len(shown) * (len(shown) + 1) / 2))
        for index, first in enumerate(shown)
        for second in shown[index:]
    ]
    return {
        "forces": forces(potential),
        "virial": virial(potential),
        "dimers": dimers,
        "not_shown": [name for name in potential.elements if name not in shown],
        "drift": drift(potential),
    }


def shown_elements(elements: Sequence[str]) -> list[str]:
    """Those whose pairs are shown, in the model's order: all, or a few that are common."""
    if len(elements) <= _MOST_ELEMENTS:
        return list(elements)
    ranked = [*(name for name in _COMMON if name in elements), *elements]
    chosen = list(dict.fromkeys(ranked))[:_MOST_ELEMENTS]
    return [name for name in elements if name in chosen]


def _affordable(once: Callable[[], object], least: int, most: int, seconds: float) -> int:
    """How many evaluations there is time for, after two that show how long they take."""
    once()
    start = time.perf_counter()
    once()
    took = time.perf_counter() - start
    return max(least, min(most, int(seconds / max(took, 1e-9))))


def forces(potential: Potential) -> dict[str, Any]:
    """Components of forces (eV/Å) on atoms of a rattled crystal: those of the model, and the
    energy's differences. limit: what the two may differ by."""
    structure = rattled_crystal(potential)
    result = compute(potential, structure)
    assert result.forces is not None
    n = result.forces.size
    several = _affordable(lambda: energy_of(potential, structure), 12 * 4, 4 * n, _SECONDS)
    chosen = np.sort(np.random.default_rng(9).permutation(n)[: several // 4])
    by_difference = []
    for index in chosen:
        place = divmod(int(index), 3)

        def energy(shift: float, place: tuple[int, int] = place) -> float:
            positions = structure.positions.copy()
            positions[place] += shift
            return energy_of(potential, with_positions(structure, positions))

        by_difference.append(-derivative(potential, energy))
    scale = float(np.abs(result.forces).max())
    return {
        "atoms": len(structure.species),
        "components": n,
        "force": [float(result.forces.reshape(-1)[index]) for index in chosen],
        "difference": by_difference,
        "limit": difference_tolerance(potential, scale, result.energy),
    }


def virial(potential: Potential) -> dict[str, Any]:
    """The six components (eV) of a rattled crystal: the model's, and the energy's derivative by
    the strain. limit: as for forces."""
    structure = rattled_crystal(potential)
    result = compute(potential, structure)
    assert result.virial is not None
    scale = float(np.abs(result.virial).max())
    return {
        "component": ["xyz"[row] + "xyz"[column] for row, column in VOIGT],
        "virial": [float(value) for value in result.virial],
        "difference": virial_by_strain(potential, structure),
        "limit": difference_tolerance(potential, scale, result.energy),
    }


def dimer(potential: Potential, first: str, second: str, seconds: float) -> dict[str, Any]:
    """Two atoms by themselves: energy (eV, beside that beyond the cutoff) and force (eV/Å, positive
    where they repel each other) against their distance (Å).

    last: the same next to the cutoff, in small steps. energy_jump, force_jump: by what they
    change within a millionth of the cutoff there. Where the model fails, a value is null; failure
    says why.
    """
    elements = np.array([potential.elements.index(name) for name in (first, second)])
    failure = ""

    def at(distance: float) -> tuple[float | None, float | None]:
        nonlocal failure
        try:
            result = _pair(potential, elements, distance)
        except Error as error:
            failure = failure or f"at {distance:.3g} Å: {error}"
            return None, None
        assert result.forces is not None
        return result.energy, float(result.forces[1, 0])

    cutoff, gap = potential.cutoff, _GAP * potential.cutoff
    several = _affordable(lambda: at(0.8 * cutoff), 40, 240, seconds)
    far = cutoff + _BEYOND
    distances = np.linspace(min(_SHORTEST, 0.2 * cutoff), far, 2 * several // 3)
    last = np.linspace(cutoff - min(_LAST, 0.2 * cutoff), cutoff + 0.1 * _LAST, several // 3)
    apart, _ = at(far)
    inside, outside = at(cutoff - gap), at(cutoff + gap)

    def curve(where: Floats) -> dict[str, Any]:
        found = [at(float(distance)) for distance in where]
        return {
            "distance": [float(distance) for distance in where],
            "energy": [_minus(energy, apart) for energy, _ in found],
            "force": [force for _, force in found],
        }

    return {
        "pair": [first, second],
        "cutoff": cutoff,
        **curve(distances),
        "last": curve(last),
        "energy_jump": _minus(inside[0], outside[0]),
        "force_jump": _minus(inside[1], outside[1]),
        "failure": failure,
    }


def _pair(potential: Potential, elements: Any, distance: float) -> Result:
    positions = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
    return Cluster(elements, positions, np.ones(2, dtype=np.intp)).compute(potential, forces=True)


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


# --- constant energy ------------------------------------------------------------------------------


@dataclass
class _Motion:
    """A crystal that moves: positions in Å, velocities in Å/fs, masses (n, 1) in u."""

    structure: Structure
    masses: Floats
    velocities: Floats
    result: Result

    def kinetic(self) -> float:
        """eV."""
        return float((self.masses * self.velocities**2).sum()) / (2 * _ACCELERATION)

    def temperature(self) -> float:
        """K; the centre of mass is at rest."""
        return 2 * self.kinetic() / (3 * max(len(self.masses) - 1, 1) * _BOLTZMANN)


def drift(potential: Potential) -> dict[str, Any]:
    """A crystal of a few atoms, relaxed a little, then velocity Verlet from 300 K, with a time step
    and with half of it.

    runs: of each time step (fs) the times (fs), the total energy's change (meV/atom) and the
    temperature (K). largest: the energy's largest change; slope: meV/atom/ps, of a line through it.
    failure: why a run ended early.
    """
    start = rattled_crystal(potential)
    runs: list[dict[str, Any]] = []
    answer = {
        "atoms": len(start.species),
        "temperature": _TEMPERATURE,
        "runs": runs,
        "failure": "",
    }
    try:
        start = _relaxed(potential, start)
    except Error as error:
        return {**answer, "failure": f"while the crystal was relaxed: {str(error).rstrip('.')}"}
    masses = np.array([_MASSES[atomic_number(name) - 1] for name in start.species])[:, None]
    lightest = float(masses.min())
    step = 1.0 if lightest >= 10 else 0.5 if lightest >= 3 else 0.25
    for part in (1, 2):
        # The run with half of the time step covers the time that the other one had.
        steps = part * (len(runs[0]["time"]) - 1 if runs else 200)
        seconds = math.inf if runs else 0.6 * _SECONDS
        runs.append(_run(potential, start, masses, step / part, steps, part, seconds))
        if runs[-1]["failure"]:
            return {**answer, "failure": runs[-1]["failure"]}
    return answer


def _relaxed(potential: Potential, structure: Structure) -> Structure:
    """Nearer to a minimum of the energy: what is rattled at random would be hot at once."""
    begin = time.perf_counter()
    positions, velocities = structure.positions.copy(), np.zeros_like(structure.positions)
    time_step, mass = 2.0, 20.0
    for number in range(300):
        if number >= 20 and time.perf_counter() - begin > 0.4 * _SECONDS:
            break
        found = compute(potential, with_positions(structure, positions)).forces
        assert found is not None
        uphill = (velocities * found).sum(axis=1, keepdims=True) < 0
        velocities = np.where(uphill, 0.0, velocities) + time_step * _ACCELERATION * found / mass
        moves = time_step * velocities
        lengths = np.linalg.norm(moves, axis=1, keepdims=True)
        positions = positions + moves * np.minimum(1.0, 0.1 / np.maximum(lengths, 1e-12))
    return with_positions(structure, positions)


def _run(
    potential: Potential,
    start: Structure,
    masses: Floats,
    step: float,
    steps: int,
    every: int,
    seconds: float,
) -> dict[str, Any]:
    """At most so many steps; of a slow model as many as there is time for, but 40 at least."""
    n = len(masses)
    clock = time.perf_counter()
    random = np.random.default_rng(10)
    velocities = random.normal(size=(n, 3)) / np.sqrt(masses)
    velocities -= (masses * velocities).sum(axis=0) / masses.sum()
    motion = _Motion(start, masses, velocities, compute(potential, start))
    motion.velocities *= np.sqrt(_TEMPERATURE / motion.temperature())
    begin = motion.result.energy + motion.kinetic()
    times, energies, temperatures, failure = [], [], [], ""
    for number in range(steps + 1):
        if number % every == 0:
            change = 1e3 * (motion.result.energy + motion.kinetic() - begin) / n
            if not np.isfinite(change):
                failure = f"after {number * step:g} fs: the energy is no longer finite"
                break
            times.append(number * step)
            energies.append(change)
            temperatures.append(motion.temperature())
        if number >= 40 and time.perf_counter() - clock > seconds:
            break
        if number < steps:
            try:
                _advance(potential, motion, step)
            except Error as error:
                failure = f"after {number * step:g} fs: {str(error).rstrip('.')}"
                break
    slope = float(np.polyfit(times, energies, 1)[0]) * 1e3 if len(times) > 2 else None
    return {
        "time_step": step,
        "time": times,
        "energy": energies,
        "temperature": temperatures,
        "largest": max(map(abs, energies), default=None),
        "slope": slope,
        "failure": failure,
    }


def _advance(potential: Potential, motion: _Motion, step: float) -> None:
    """One step of velocity Verlet. Raises Error."""
    half = 0.5 * step * _ACCELERATION / motion.masses
    assert motion.result.forces is not None
    velocities = motion.velocities + half * motion.result.forces
    motion.structure = with_positions(
        motion.structure, motion.structure.positions + step * velocities
    )
    motion.result = compute(potential, motion.structure)
    assert motion.result.forces is not None
    motion.velocities = velocities + half * motion.result.forces


#: u, of hydrogen to oganesson: standard atomic weights (IUPAC), and mass numbers of what has none.
_MASSES = (
    *(1.008, 4.0026, 6.94, 9.0122, 10.81, 12.011, 14.007, 15.999, 18.998, 20.180),
    *(22.990, 24.305, 26.982, 28.085, 30.974, 32.06, 35.45, 39.948, 39.098, 40.078),
    *(44.956, 47.867, 50.942, 51.996, 54.938, 55.845, 58.933, 58.693, 63.546, 65.38),
    *(69.723, 72.630, 74.922, 78.971, 79.904, 83.798, 85.468, 87.62, 88.906, 91.224),
    *(92.906, 95.95, 97.0, 101.07, 102.91, 106.42, 107.87, 112.41, 114.82, 118.71),
    *(121.76, 127.60, 126.90, 131.29, 132.91, 137.33, 138.91, 140.12, 140.91, 144.24),
    *(145.0, 150.36, 151.96, 157.25, 158.93, 162.50, 164.93, 167.26, 168.93, 173.05),
    *(174.97, 178.49, 180.95, 183.84, 186.21, 190.23, 192.22, 195.08, 196.97, 200.59),
    *(204.38, 207.2, 208.98, 209.0, 210.0, 222.0, 223.0, 226.0, 227.0, 232.04),
    *(231.04, 238.03, 237.0, 244.0, 243.0, 247.0, 247.0, 251.0, 252.0, 257.0),
    *(258.0, 259.0, 262.0, 267.0, 270.0, 269.0, 270.0, 270.0, 278.0, 281.0),
    *(281.0, 285.0, 286.0, 289.0, 289.0, 293.0, 293.0, 294.0),
)
