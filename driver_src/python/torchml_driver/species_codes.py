"""Finds out whether a model was made for atomic numbers as species codes, or for 0, 1, 2, …

The model is evaluated with both. Where one way fails (an index out of range, an energy that is not
a number), it was made for the other. Where both run and give the same, it does not look at species.
Where both run and differ, the model may give itself away: it fails for the first element alone,
whose code would be 0; or, since it compares species with a list of its own, it treats all codes
alike which are not in that list, and either 0 or the atomic numbers are among them. Otherwise (a table with a row for every element, arithmetic with the codes) it cannot be known, and
is not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from . import _core
from ._core import Error
from .potential import Potential
from .structures import Cluster, cluster

Outcome = Literal["none", "either", "codes", "atomic_numbers", "unknown", "not_tried"]

_SIZE = 16
_MOST_ELEMENTS = 118
#: Relative difference of two energies that are meant to be the same.
_SAME = 1e-12


@dataclass(frozen=True)
class Finding:
    """What was found out about a model's species codes.

    outcome: ``none``: it sees no species; ``either``: both give the same; ``codes``,
    ``atomic_numbers``: it was made for these; ``unknown``: both run, and differ; ``not_tried``: on
    a device that does not survive an index out of range.
    energies: eV of the system that was tried, with 0, 1, … and with atomic numbers; None where the
    model failed. atoms: of that system.
    """

    outcome: Outcome
    energies: tuple[float | None, float | None] = (None, None)
    atoms: int = 0


def find(potential: Potential) -> Finding:
    """Tries both kinds; the potential keeps its own.

    Raises:
        Error: if the model fails with both.
    """
    if potential.device != "cpu":
        return Finding("not_tried")
    own = potential.species_codes.tolist()
    try:
        potential._use_codes(own)
    except Error:
        return Finding("none")
    try:
        return _find(potential)
    finally:
        potential._use_codes(own)


def _find(potential: Potential) -> Finding:
    numbers = [_core.atomic_number(symbol) for symbol in potential.elements]
    codes = list(range(len(numbers)))
    system = cluster(potential, max(_SIZE, len(numbers)))
    tried = [_energy(potential, system, kind) for kind in (codes, numbers)]
    by_codes, by_numbers = tried
    atoms = len(system.elements)
    energies = tuple(None if isinstance(energy, Error) else energy for energy in tried)
    if isinstance(by_codes, Error) and isinstance(by_numbers, Error):
        if str(by_codes) == str(by_numbers):
            raise by_codes
        raise Error(
            f"{_sentence(by_codes)} That was with the species codes 0, 1, …; with atomic numbers: "
            f"{_sentence(by_numbers)}"
        )
    if isinstance(by_numbers, Error):
        return Finding("codes", energies, atoms)
    if isinstance(by_codes, Error):
        return Finding("atomic_numbers", energies, atoms)
    if _same(potential, system, by_codes, by_numbers):
        return Finding("either", energies, atoms)
    return Finding(_by_unknown_codes(potential, system, codes, numbers), energies, atoms)


def _by_unknown_codes(
    potential: Potential, system: Cluster, codes: Sequence[int], numbers: Sequence[int]
) -> Outcome:
    """Of a model that runs with both and gives different energies."""
    n = len(codes)
    if isinstance(_energy(potential, system, [0] * n), Error):
        return "atomic_numbers"  # it divides by the largest code, say
    foreign = [
        code for code in range(_MOST_ELEMENTS, 0, -1) if code not in codes and code not in numbers
    ][:2]
    if len(foreign) < 2:
        return "unknown"
    lost = _energy(potential, system, [foreign[0]] * n)
    other = _energy(potential, system, [foreign[1 - k % 2] for k in range(n)])
    if isinstance(lost, Error) or isinstance(other, Error):
        return "unknown"
    if not _same(potential, system, lost, other):
        return "unknown"

    def means_something(kind: Sequence[int]) -> bool:
        energy = _energy(potential, system, kind)
        return not isinstance(energy, Error) and not _same(potential, system, energy, lost)

    # 0 is no element's number; of the others, those that are codes as well say nothing.
    of_codes = means_something([0] * n)
    of_numbers = means_something(
        [number if number not in codes else foreign[0] for number in numbers]
    )
    if of_numbers == of_codes:
        return "unknown"
    return "atomic_numbers" if of_numbers else "codes"


def _energy(potential: Potential, system: Cluster, codes: Sequence[int]) -> float | Error:
    potential._use_codes(codes)
    everybody = np.ones_like(system.contributing)
    try:
        return system.compute(potential, contributing=everybody).energy
    except Error as error:
        return error


def _same(potential: Potential, system: Cluster, one: float, other: float) -> bool:
    if one == other:
        return True
    # What the same codes do not give twice is no difference either.
    codes = potential.species_codes.tolist()
    again = [_energy(potential, system, codes) for _ in range(2)]
    noise = 0.0
    if not isinstance(again[0], Error) and not isinstance(again[1], Error):
        noise = abs(again[0] - again[1])
    return abs(one - other) <= 10.0 * noise + _SAME * max(abs(one), 1.0)


def _sentence(error: Error) -> str:
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."
