"""Finds the floating-point type of a model's inputs.

    python -m torchml_driver.precision MODEL

A model whose weights all have one type gets inputs of that type. The type of other models is not
obvious: their weights have several types, or have become constants in their code (torch.jit.freeze,
torch.jit.optimize_for_inference). This program evaluates them on two systems, with inputs of each
type in turn. Of the types that work, it chooses the one with the most accurate energies and forces:
the widest, or a narrower one that gives the same to the last digit. Where no atom feels a force,
all types give the same, and the widest is chosen. It prints the setting `precision`, to be appended
to the parameter file.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._core import Error
from ._requests import is_request, serve
from .graph_settings import _compute, _configurations, parameter_file_of
from .potential import ModelWarning, Potential, Result

#: From the most to the least precise; with 16 bits, a wider range of exponents is worth more.
TYPES = ("float64", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Trial:
    """The outcome of evaluating a model with inputs of one type.

    Attributes:
        inputs: one of TYPES.
        problem: the model's message if it fails, otherwise "".
        energies: the type in which the model returned its energies; "" if it fails.
        deviation: the difference of energies and forces from those with the most precise type that
            works, relative to the largest of them; None if the model fails.
    """

    inputs: str
    problem: str = ""
    energies: str = ""
    deviation: float | None = None


@dataclass(frozen=True)
class Finding:
    """The type of a model's inputs.

    Attributes:
        precision: one of TYPES; None if the model works with none of them.
        weights: the types of the model's weights; empty for a model that has none or is frozen.
        trials: in the order in which they were made.
    """

    precision: str | None
    weights: tuple[str, ...]
    trials: tuple[Trial, ...]


def find_precision(parameter_file: Path, first: str | None = None) -> Finding:
    """Finds the precision of a portable model, whatever its parameter file says about it.

    Args:
        parameter_file: the model's; its other files are in the same folder.
        first: the type to try first; if the model works with it, no other is tried.

    Raises:
        Error: if the model cannot be loaded.
    """
    os.environ.pop("KIM_MODEL_GHOSTS", None)  # the systems have ghosts that are no images
    text = parameter_file.read_text(encoding="utf-8")
    text = re.sub(r"^[ \t]*precision[ \t].*$", "", text, flags=re.MULTILINE).rstrip("\n")
    with tempfile.TemporaryDirectory(prefix="torchml-precision-") as scratch:
        folder = Path(scratch)
        for file in parameter_file.parent.iterdir():
            if file.is_file() and file.suffix != ".param":
                shutil.copy(file, folder / file.name)

        def load(settings: str, atomic_numbers: bool | None) -> Potential:
            (folder / "model.param").write_text(f"{text}\n{settings}\n", encoding="utf-8")
            return Potential(folder, atomic_numbers=atomic_numbers)

        weights = load("", None).weight_types
        if first is None and len(weights) == 1:
            first = weights[0]
        finding = Finding(None, weights, ())
        # The wrong kind of species codes can make a model fail, too; that is a separate question.
        for atomic_numbers in (None, True, False):
            results: dict[str, list[Result]] = {}
            trials: list[Trial] = []
            for inputs in dict.fromkeys([*([first] if first else []), *TYPES]):
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", ModelWarning)
                        potential = load(f"precision {inputs}", atomic_numbers)
                        systems = _configurations(len(potential.elements), potential.cutoff, 1)
                        results[inputs] = [
                            _compute(potential, system)
                            # The systems in which all particles with neighbours contribute.
                            for system in itertools.islice(systems, 0, 4, 2)
                        ]
                    trials.append(Trial(inputs, energies=potential.energy_type))
                except Error as error:
                    trials.append(Trial(inputs, problem=str(error)))
                if first in results:
                    break
            if results:
                return _decide(weights, trials, results, first)
            if not finding.trials:
                finding = Finding(None, weights, tuple(trials))
        return finding


def _decide(
    weights: tuple[str, ...],
    trials: Sequence[Trial],
    results: dict[str, list[Result]],
    first: str | None,
) -> Finding:
    widest = next(name for name in TYPES if name in results)
    deviations = {name: _deviation(results[widest], found) for name, found in results.items()}
    chosen = first if first in results else widest
    # Zeros have no digits to compare: with too long a cutoff, the atoms are too far apart.
    if first not in results and any(np.any(result.forces) for result in results[widest]):
        for name in TYPES:
            if deviations.get(name) == 0.0:
                chosen = name
    made = (dataclasses.replace(trial, deviation=deviations.get(trial.inputs)) for trial in trials)
    return Finding(chosen, weights, tuple(made))


def _deviation(expected: Sequence[Result], found: Sequence[Result]) -> float:
    largest = 0.0
    for one, other in zip(expected, found, strict=True):
        assert one.forces is not None
        assert other.forces is not None
        for a, b in (
            (np.array([one.energy]), np.array([other.energy])),
            (one.forces, other.forces),
        ):
            scale = max(float(np.abs(a).max()), 1e-3)
            largest = max(largest, float(np.abs(a - b).max()) / scale)
    return largest


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers a request (see _requests): the finding for ``model``; ``first``: as --first."""
    file = parameter_file_of(Path(request["model"]))
    return dataclasses.asdict(find_precision(file, request["first"]))


def main() -> int:
    """Prints the setting. Returns 0; 1 if the model cannot be loaded or works with no type."""
    parser = argparse.ArgumentParser(
        prog="python -m torchml_driver.precision", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("model", type=Path, help="portable-model folder or its *.param file")
    parser.add_argument(
        "--first", choices=TYPES, help="type to try first; if it works, the only one"
    )
    parser.add_argument("--json", action="store_true", help="print all findings, as JSON")
    options = parser.parse_args()
    try:
        finding = find_precision(parameter_file_of(options.model), options.first)
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(dataclasses.asdict(finding)))
    elif finding.precision is not None:
        print(f"precision {finding.precision}")
    else:
        print(f"error: {finding.trials[0].problem}", file=sys.stderr)
    return 0 if finding.precision is not None or options.json else 1


if __name__ == "__main__":
    sys.exit(serve(answered) if is_request() else main())
