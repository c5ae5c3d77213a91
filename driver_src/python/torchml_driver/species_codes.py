"""Finds out whether a model was made for atomic numbers as species codes, or for 0, 1, 2, …

The model is evaluated with both kinds. If one fails (an index out of range, an energy that is nan),
the model was made for the other. If both give the same energy, the model does not look at species.
If they differ, there may be other evidence: the model fails if every code is 0, the first
element's; or it compares species with a list and treats all codes outside that list alike, and
either 0 or the atomic numbers are outside. Otherwise (a table with a row for every element,
arithmetic with the codes) the kind cannot be determined, and is not guessed.

Compiled code may crash the process if an index is out of range, and so may code on a GPU: such
models are evaluated in separate processes.

    python -m torchml_driver.species_codes MODEL DEVICE CODES

evaluates a model with each of CODES (JSON, a list of lists), and prints one line of JSON for each:
the energy, or the reason why there is none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TextIO

import numpy as np

from . import _core
from ._core import Error, ErrorHere
from .potential import Potential
from .structures import Cluster, cluster

Outcome = Literal["none", "either", "codes", "atomic_numbers", "unknown"]

_SIZE = 16
_MOST_ELEMENTS = 118
#: The relative difference of two energies that counts as rounding, by the model's bits.
_SAME = {64: 1e-12, 32: 1e-6, 16: 1e-2}


@dataclass(frozen=True)
class Finding:
    """The finding about a model's species codes.

    outcome: ``none``: the model sees no species; ``either``: both kinds give the same energy;
    ``codes``, ``atomic_numbers``: it was made for these; ``unknown``: both kinds run, and differ.
    energies: of the test system, in eV, with 0, 1, … and with atomic numbers; None where the model
    failed. atoms: the number of atoms in the test system.
    """

    outcome: Outcome
    energies: tuple[float | None, float | None] = (None, None)
    atoms: int = 0


def find(potential: Potential) -> Finding:
    """Tries both kinds of codes; the potential keeps the kind that it has.

    Raises:
        ErrorHere: if this machine is at fault, whichever the codes.
        Error: if the model fails with both.
    """
    own = potential.species_codes.tolist()
    try:
        potential._use_codes(own)
    except Error:
        return Finding("none")
    robust = potential.device == "cpu" and not potential._core.model_file.endswith(".pt2")
    try:
        return _find(potential, _energies if robust else _energies_elsewhere)
    finally:
        potential._use_codes(own)


#: A function that gives the energy with each of several sets of species codes, or the error.
_Energies = Callable[[Potential, Sequence[Sequence[int]]], list[float | Error]]


def _find(potential: Potential, energies_with: _Energies) -> Finding:
    numbers = [_core.atomic_number(symbol) for symbol in potential.elements]
    codes = list(range(len(numbers)))
    by_codes, by_numbers = energies_with(potential, [codes, numbers])
    atoms = len(_system(potential).elements)
    energies = (
        None if isinstance(by_codes, Error) else by_codes,
        None if isinstance(by_numbers, Error) else by_numbers,
    )
    if isinstance(by_codes, Error) and isinstance(by_numbers, Error):
        at_fault = [isinstance(error, ErrorHere) for error in (by_codes, by_numbers)]
        if str(by_codes) == str(by_numbers) or all(at_fault):
            raise by_codes
        raise Error(
            f"the model fails with both kinds of species codes. With 0, 1, …: "
            f"{_sentence(by_codes)} With atomic numbers: {_sentence(by_numbers)}"
        )
    if isinstance(by_numbers, Error):
        return Finding("codes", energies, atoms)
    if isinstance(by_codes, Error):
        return Finding("atomic_numbers", energies, atoms)
    if _same(potential, by_codes, by_numbers):
        return Finding("either", energies, atoms)
    (again,) = energies_with(potential, [codes])
    if isinstance(again, Error) or not _same(potential, by_codes, again):
        # The codes do not make the difference: the model gives another energy each time, which is
        # the problem to report.
        return Finding("either", energies, atoms)
    return Finding(_by_unknown_codes(potential, energies_with, codes, numbers), energies, atoms)


def _by_unknown_codes(
    potential: Potential,
    energies_with: _Energies,
    codes: Sequence[int],
    numbers: Sequence[int],
) -> Outcome:
    """The outcome for a model that runs with both kinds and gives different energies."""
    n = len(codes)
    foreign = [
        code for code in range(_MOST_ELEMENTS, 0, -1) if code not in codes and code not in numbers
    ][:2]
    tried = [[0] * n]
    if len(foreign) == 2:
        # 0 is not an atomic number; atomic numbers that are also codes prove nothing.
        only_numbers = [number if number not in codes else foreign[0] for number in numbers]
        tried += [[foreign[0]] * n, [foreign[1 - k % 2] for k in range(n)], only_numbers]
    first, *others = energies_with(potential, tried)
    if isinstance(first, Error):
        return "atomic_numbers"  # for example, because it divides by the largest code
    known = [energy for energy in others if not isinstance(energy, Error)]
    if len(others) != 3 or len(known) != 3:
        return "unknown"
    lost, other, by_numbers = known
    if not _same(potential, lost, other):
        return "unknown"
    of_codes = not _same(potential, first, lost)
    of_numbers = not _same(potential, by_numbers, lost)
    if of_numbers == of_codes:
        return "unknown"
    return "atomic_numbers" if of_numbers else "codes"


def _system(potential: Potential) -> Cluster:
    return cluster(potential, max(_SIZE, len(potential.elements)))


def _energies(potential: Potential, kinds: Sequence[Sequence[int]]) -> list[float | Error]:
    return [_energy(potential, codes) for codes in kinds]


def _energy(potential: Potential, codes: Sequence[int]) -> float | Error:
    system = _system(potential)
    potential._use_codes(codes)
    try:
        return system.compute(potential, contributing=np.ones_like(system.contributing)).energy
    except Error as error:
        return error


def _energies_elsewhere(
    potential: Potential, kinds: Sequence[Sequence[int]]
) -> list[float | Error]:
    found: list[float | Error] = []
    while len(found) < len(kinds):
        rest = json.dumps([list(codes) for codes in kinds[len(found) :]])
        program = [sys.executable, "-m", "torchml_driver.species_codes"]
        done = subprocess.run(
            [*program, str(potential.model), potential.device, rest],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        found += [Error(answer) if isinstance(answer, str) else answer for answer in answers]
        if len(found) < len(kinds) and not (answers and isinstance(answers[-1], str)):
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            found.append(Error(f"the model crashed its process: {reason}"))
    return found


def _same(potential: Potential, one: float, other: float) -> bool:
    return abs(one - other) <= _SAME[potential.precision] * max(abs(one), 1.0)


def _sentence(error: Error) -> str:
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."


def main() -> int:
    """Serves _energies_elsewhere(). Returns 1 after the first failure, which may disable a GPU."""
    model, device, kinds = sys.argv[1:]
    os.environ.pop("KIM_MODEL_ELEMENTS_MAP", None)
    with stdout_for_answers() as answers:
        potential = Potential(model, device=device)
        for codes in json.loads(kinds):
            energy = _energy(potential, codes)
            text = json.dumps(str(energy) if isinstance(energy, Error) else energy)
            print(text, file=answers, flush=True)
            if isinstance(energy, Error):
                return 1
    return 0


@contextmanager
def stdout_for_answers() -> Iterator[TextIO]:
    """Reserves standard output for answers to programs; what a model prints goes to stderr."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        try:
            yield answers
        finally:
            answers.flush()
            os.dup2(answers.fileno(), 1)


if __name__ == "__main__":
    sys.exit(main())
