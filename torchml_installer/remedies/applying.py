"""Applies remedies before a build, and after one that failed.

Repairs need permission: the option ``--fix``, or a yes on a terminal. Without a terminal, or with
``--no-fix``, this neither asks nor repairs.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path
from typing import TypeVar

from torchml_installer.building.plan import BuildPlan
from torchml_installer.errors import (
    BuildFailedError,
    ConfigureLoopError,
    DiskFullError,
    LibraryNotLoadableError,
    TorchMLError,
)
from torchml_installer.remedies import KNOWN, Recognised, recognised_in_log
from torchml_installer.support import console

Result = TypeVar("Result")

#: Failures of a build that a known problem may cause.
_FAILURES = (BuildFailedError, ConfigureLoopError, DiskFullError, LibraryNotLoadableError)


def may_fix(found: Recognised, fix: bool | None) -> bool:
    """Whether the user permits the repair.

    fix: from the command line; None: ask, on a terminal.
    """
    if not found.symptom.repair or fix is False:
        return False
    if fix:
        return True
    fact = f"{found.name}: {found.symptom.explanation}"
    return console.confirmed(f"Repair this? It will {found.symptom.repair}.", fact)


def prepared(plan: BuildPlan, fix: bool | None, only: Container[str] | None = None) -> BuildPlan:
    """The build after all permitted repairs.

    only: the names of the remedies to try; None: all. Raises the error of a problem that would end
    the build; warns of the others.
    """
    for remedy in KNOWN:
        if only is not None and remedy.name not in only:
            continue
        # A repair may cause or solve another problem: each remedy looks at the latest state.
        symptom = remedy.before_build(plan)
        if symptom is None:
            continue
        found = Recognised(remedy, symptom)
        if may_fix(found, fix):
            plan = _fixed(plan, found)
        elif found.symptom.error is not None:
            raise _explained(found.symptom.error, found)
        else:
            console.warn(f"{found.name}: {found.symptom.explanation}{_offer(found)}")
    return plan


def with_remedies(
    build: Callable[[BuildPlan], Result],
    plan: BuildPlan,
    log: Callable[[BuildPlan], Path],
    fix: bool | None,
) -> Result:
    """Runs ``build``, and again after each permitted repair of a known problem that made it fail.

    log: the build's. Raises what ``build`` raises, with the explanation of a known problem.
    """
    plan = prepared(plan, fix)
    tried: set[str] = set()
    while True:
        try:
            return build(plan)
        except _FAILURES as error:
            found = recognised_in_log(f"{error.message}\n{_text(log(plan))}", plan)
            if found is None or found.name in tried:
                raise
            if not may_fix(found, fix):
                raise _explained(error, found) from error
            console.note(f"{error.message}\n{found.name}: {found.symptom.explanation}")
            tried.add(found.name)
            plan = _fixed(plan, found)


def _fixed(plan: BuildPlan, found: Recognised) -> BuildPlan:
    repair = found.remedy.fix(plan)
    console.note(f"repaired {found.name}: {repair.said}")
    return repair.plan


def _explained(error: TorchMLError, found: Recognised) -> TorchMLError:
    """The error with its cause and the available repair."""
    # Only the caller has this object: it may be changed.
    if found.symptom.explanation not in error.message:
        error.message += f"\n  known problem {found.name}: {found.symptom.explanation}"
    if found.symptom.repair:
        error.remedy = f"{error.remedy}{_offer(found)}".strip()
    return error


def _offer(found: Recognised) -> str:
    if not found.symptom.repair:
        return ""
    return f" With --fix, this command will {found.symptom.repair}."


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
