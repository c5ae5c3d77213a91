"""Tries out a model that is being packed; ``torchml_driver.trial`` does the work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.errors import (
    BadOptionError,
    PythonModuleError,
    RunFailedError,
    UnsoundModelError,
)
from torchml_installer.models import engine, parameter_file
from torchml_installer.models.parameter_file import CallingConvention, Parameters
from torchml_installer.models.verify import Check
from torchml_installer.support import console

_KINDS = {"codes": "0, 1, …", "atomic_numbers": "atomic numbers"}
_OPTIONS = {"codes": "--species-codes", "atomic_numbers": "--atomic-numbers"}


@dataclass(frozen=True)
class Trial:
    """What came of it. checked: whether the model was evaluated at all."""

    parameters: Parameters
    checked: bool


def skipped(parameters: Parameters, reason: str) -> Trial:
    """Of a model that is not tried; says so."""
    text = f"The model was not checked: {reason}"
    if parameters.atomic_numbers is None and parameters.pattern is not CallingConvention.DESCRIPTOR:
        text += (
            " The package does not say which species codes the model wants, so that "
            "KIM_MODEL_ELEMENTS_MAP decides where it runs; --atomic-numbers or --species-codes "
            "would record it."
        )
    console.note(text)
    return Trial(parameters, checked=False)


def run(path: Path) -> Trial:
    """Evaluates the model beside a parameter file on a few particles; records its species codes
    there, if they can be found out and the file does not say, and returns the new contents.

    Raises BadOptionError where the user has to say which codes the model wants, or said it
    wrongly; UnsoundModelError where a simulation with the model would be wrong, or fails.
    """
    parameters = parameter_file.read(path)
    try:
        answer = engine.answer("trial", path, title="trying the model out")
    except PythonModuleError as error:
        return skipped(parameters, f"{error.message} {error.remedy}")
    except RunFailedError as error:
        reason = error.message.partition("cannot be run: ")[2] or error.message
        raise UnsoundModelError(f"The model fails on a few atoms: {reason}.") from error
    if (reason := answer.get("not_loaded")) is not None:
        return skipped(parameters, f"it cannot be run here ({reason.rstrip('.')}).")
    if (reason := answer.get("failed")) is not None:
        raise UnsoundModelError(f"The model fails on a few atoms: {reason}")
    parameters = _with_species(parameters, answer["species"])
    checks = [Check(**check) for check in answer["checks"]]
    failed = [check for check in checks if not check.passed]
    for check in failed:
        if not check.serious:
            console.warn(f"{check.name}: {check.explanation}{_numbers(check)}.")
    serious = [
        f"{check.name}: {check.explanation}{_numbers(check)}" for check in failed if check.serious
    ]
    if serious:
        raise UnsoundModelError(
            f"A simulation with this model would be wrong. {'; '.join(serious)}."
        )
    path.write_text(parameters.as_text(), encoding="utf-8")
    return Trial(parameters, checked=True)


def _numbers(check: Check) -> str:
    if check.deviation == 0.0:  # the model failed, and the explanation says how
        return ""
    return f" (off by {check.deviation:.2g} {check.unit}, up to {check.tolerance:.1g} is rounding)"


def _with_species(parameters: Parameters, found: dict[str, object]) -> Parameters:
    outcome = str(found["outcome"])
    recorded = parameters.atomic_numbers
    if outcome in _KINDS:
        wanted = outcome == "atomic_numbers"
        if recorded is not None and recorded != wanted:
            given = "atomic_numbers" if recorded else "codes"
            raise BadOptionError(
                f"The model was made for {_KINDS[outcome]} as species codes, as evaluating it shows"
                f"{_energies(found)}; {_OPTIONS[given]} says {_KINDS[given]}.",
                f"Leave {_OPTIONS[given]} out; to pack the model all the same, add --unchecked.",
            )
        return dataclasses.replace(parameters, atomic_numbers=wanted)
    if outcome == "unknown" and recorded is None:
        raise BadOptionError(
            "The model runs with 0, 1, … and with atomic numbers as species codes, and the results "
            f"differ{_energies(found)}: which of them it was made for cannot be found out.",
            "Add --atomic-numbers or --species-codes (0, 1, … in the order of --elements).",
        )
    return parameters


def _energies(found: dict[str, object]) -> str:
    energies = found["energies"]
    assert isinstance(energies, list)
    shown = ["it fails" if energy is None else f"{energy:.6g} eV" for energy in energies]
    return f" (on {found['atoms']} atoms, {shown[0]} with 0, 1, …, {shown[1]} with atomic numbers)"
