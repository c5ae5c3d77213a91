"""Repairing what was recognised: before a build, and after one that failed.

Nothing is repaired without permission: the option ``--fix``, or a yes on a terminal. Without a
terminal nothing is asked, and ``--no-fix`` asks nothing on one.
"""

from __future__ import annotations

from collections.abc import Callable
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

#: Failures of a build that a known problem may be behind.
_FAILURES = (BuildFailedError, ConfigureLoopError, DiskFullError, LibraryNotLoadableError)


def may_fix(found: Recognised, fix: bool | None) -> bool:
    """Whether the user allows it; fix: what the command line says, None: ask, if there is a
    terminal."""
    if not found.symptom.repair or fix is False:
        return False
    if fix:
        return True
    fact = f"{found.name}: {found.symptom.explanation}"
    return console.confirmed(f"Shall I {found.symptom.repair}?", fact)


def prepared(plan: BuildPlan, fix: bool | None) -> BuildPlan:
    """The build without the known problems that may be repaired.

    Raises the error of a problem that would end the build and may not be repaired; warns of others.
    """
    for remedy in KNOWN:
        # One repair may bring or take away another problem: each looks at the latest state.
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
    """Runs ``build``; when a known problem makes it fail that may be repaired, once more.

    log: of the build. Raises what ``build`` raises, with the explanation of a known problem.
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
    """The error with the explanation of what is behind it, and the repair that is on offer."""
    # Built from scratch by detection or by the build: nobody else holds this object.
    if found.symptom.explanation not in error.message:
        error.message += f"\n  known problem {found.name}: {found.symptom.explanation}"
    if found.symptom.repair:
        error.remedy = f"{error.remedy}{_offer(found)}".strip()
    return error


def _offer(found: Recognised) -> str:
    if not found.symptom.repair:
        return ""
    return f" With --fix, this command would {found.symptom.repair}."


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
