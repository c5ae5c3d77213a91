"""Evaluates a model that is being packed; ``torchml_driver.trial`` does the work."""

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
    """The result. checked: whether the model was evaluated."""

    parameters: Parameters
    checked: bool


def skipped(parameters: Parameters, reason: str) -> Trial:
    """The result for a model that is not evaluated; tells the user."""
    text = f"The model was packed unchecked: {reason}"
    if parameters.atomic_numbers is None and parameters.pattern is not CallingConvention.DESCRIPTOR:
        text += (
            " The portable model does not record what it takes as species codes, so "
            "KIM_MODEL_ELEMENTS_MAP decides when it runs. Record it with --atomic-numbers or "
            "--species-codes."
        )
    console.note(text)
    return Trial(parameters, checked=False)


def run(path: Path, *, codes_known: bool = False) -> Trial:
    """Evaluates the model beside a parameter file on a few particles, records its species codes in
    the file if possible and necessary, and returns the new contents.

    codes_known: whether those that the file records are right, whatever the model does with others.

    Raises BadOptionError if the user must name the species codes or named the wrong ones, and
    UnsoundModelError if a simulation with the model would fail or be wrong.
    """
    parameters = parameter_file.read(path)
    try:
        asked = {"codes_known": codes_known}
        answer = engine.answer("trial", path, asked, title="testing the model")
    except PythonModuleError as error:
        return skipped(parameters, f"{error.message} {error.remedy}")
    except RunFailedError as error:
        reason = str(error.__cause__ or error.message)
        raise UnsoundModelError(f"The model fails on a few atoms: {reason.rstrip('.')}.") from error
    if (reason := answer.get("not_loaded")) is not None:
        return skipped(parameters, f"it does not run here ({reason.rstrip('.')}).")
    if (reason := answer.get("refused")) is not None:
        raise UnsoundModelError(f"The model cannot be loaded: {reason}")
    if (reason := answer.get("failed")) is not None:
        raise UnsoundModelError(
            f"The model fails on a few atoms: {reason}", _remedy(parameters, reason)
        )
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
            "A simulation with this model would be wrong:\n    " + "\n    ".join(serious)
        )
    path.write_text(parameters.as_text(), encoding="utf-8")
    return Trial(parameters, checked=True)


def _remedy(parameters: Parameters, reason: str) -> str | None:
    """For energies without a gradient, the two causes; otherwise None."""
    if parameters.returns_forces or "does not require grad" not in reason:
        return None
    return (
        "If forward returns (energies, forces), add --returns-forces. Otherwise the energy must "
        "depend on the coordinates by torch's operations, without detach() or no_grad()."
    )


def _numbers(check: Check) -> str:
    if check.deviation == 0.0:  # the model failed; the explanation says how
        return ""
    return f" (off by {check.deviation:.2g} {check.unit}, tolerance {check.tolerance:.1g})"


def _with_species(parameters: Parameters, found: dict[str, object]) -> Parameters:
    outcome = str(found["outcome"])
    recorded = parameters.atomic_numbers
    if outcome in _KINDS:
        wanted = outcome == "atomic_numbers"
        if recorded is not None and recorded != wanted:
            given = "atomic_numbers" if recorded else "codes"
            raise BadOptionError(
                f"Evaluating the model shows that it takes {_KINDS[outcome]} as species codes"
                f"{_energies(found)}, but {_OPTIONS[given]} means {_KINDS[given]}.",
                f"Leave out {_OPTIONS[given]}. To pack the model anyway, add --unchecked.",
            )
        return dataclasses.replace(parameters, atomic_numbers=wanted)
    if outcome == "unknown" and recorded is None:
        raise BadOptionError(
            "The model runs both with 0, 1, … and with atomic numbers as species codes, and the "
            f"results differ{_energies(found)}. Only its author knows which codes it takes.",
            "Add --atomic-numbers or --species-codes (0, 1, … in the order of --elements).",
        )
    return parameters


def _energies(found: dict[str, object]) -> str:
    energies = found["energies"]
    assert isinstance(energies, list)
    shown = ["it fails" if energy is None else f"{energy:.6g} eV" for energy in energies]
    return f" (on {found['atoms']} atoms, {shown[0]} with 0, 1, …, {shown[1]} with atomic numbers)"
