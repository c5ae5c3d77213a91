"""``doctor``: shows everything that was searched for, and what to do about what is missing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchml_installer import remedies
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Survey
from torchml_installer.detect.record import Finding
from torchml_installer.errors import TorchMLError
from torchml_installer.support import console
from torchml_installer.support.paths import home_folder

#: The narrowest terminal, in columns, in which the table is easy to read.
_TABLE = 72
#: The narrowest one in which the table shows version and place side by side.
_WIDE_TABLE = 100


def exit_code(survey: Survey) -> int:
    """0 if the driver can be built here, otherwise the exit code of the first problem."""
    problems = (finding.problem for finding in survey.toolchain.findings())
    return next((problem.exit_code for problem in problems if problem is not None), 0)


def as_json(survey: Survey) -> dict[str, Any]:
    """What ``doctor --json`` prints; ``schema`` documents each field."""
    code = exit_code(survey)
    return {
        "schema": 1,
        "ok": code == 0,
        "exit_code": code,
        "findings": [finding.as_json() for finding in survey.findings()],
        "known_problems": [found.as_json() for found in _known_problems(survey)],
    }


def schema() -> str:
    """What ``doctor --schema`` prints: the JSON Schema of ``doctor --json``."""
    return Path(__file__).with_name("schema.json").read_text(encoding="utf-8")


def show(survey: Survey, *, places: bool = False) -> None:
    """Prints the table (rich on a terminal, plain lines otherwise) and what to do next.

    places: also show every place that was searched, and why what is there was not used.
    """
    width = console.columns(sys.stdout)
    if width:
        there = [finding for finding in survey.findings() if not finding.absent]
        if width >= _TABLE:
            _show_table(there, width)
        else:
            _show_list(there)
        _show_absent([finding for finding in survey.findings() if finding.absent])
    else:
        for finding in survey.findings():
            print(_plain_line(finding))
    for finding in survey.findings() if places else ():
        if finding.looked:
            print(f"\n{finding.title} was searched for in:")
        for place in finding.looked:
            print(f"  {place.where} ({place.how}): {place.refused or 'taken'}")
    for finding in survey.findings():
        if finding.problem is not None:
            _say(f"\n{finding.title}: {finding.problem.message}")
            _say(f"  what to do: {finding.problem.remedy}")
    for found in _known_problems(survey):
        _say(f"\nknown problem {found.name}: {found.symptom.explanation}")
        if found.symptom.command:
            print(
                f"  repair: {shlex.join(found.symptom.command)}  (or torchml-install doctor --fix)"
            )
        elif found.symptom.repair:
            _say(f"  repair: `torchml-install driver --fix` would {found.symptom.repair}")
    print()
    _say(_next_command(survey))


def _next_command(survey: Survey) -> str:
    problems = [one for one in survey.toolchain.findings() if one.problem is not None]
    if not problems and survey.get("kim-collections").usable:
        return "The driver is installed: `torchml-install quickstart` runs a first model with it."
    if not problems:
        return "Everything needed to build the driver is here: `torchml-install driver` builds it."
    if any(finding.named for finding in problems) or survey.get("python").problem is not None:
        # `deps` installs nothing beside what the user named, nor where it would not be found.
        return "The driver cannot be built yet; start with the first problem above."
    return (
        "The driver cannot be built yet: `torchml-install deps` installs what is missing\n"
        "(`torchml-install deps --dry-run` shows how)."
    )


def _say(text: str) -> None:
    print(console.fitted(text, sys.stdout))


def apply_remedies(survey: Survey) -> list[TorchMLError]:
    """Repairs every known problem for which there is a command; returns the errors it met.

    Other repairs belong to a build: ``driver --fix`` makes them.
    """
    hindered = []
    for found in _known_problems(survey):
        if not found.symptom.command:
            continue
        try:
            found.remedy.fix(BuildPlan.of(survey))
        except TorchMLError as error:
            error.message = f"{found.name} could not be repaired: {error.message}"
            hindered.append(error)
    return hindered


def _known_problems(survey: Survey) -> tuple[remedies.Recognised, ...]:
    return remedies.recognised(BuildPlan.of(survey))


def _where(finding: Finding) -> str:
    if finding.where is None:
        return finding.hint
    return _short(finding.where) + (f"  ({finding.how})" if finding.how else "")


def _short(path: Path) -> str:
    home = home_folder()
    if home in (None, Path("/")) or not path.is_relative_to(home):
        return str(path)
    return f"~/{path.relative_to(home)}"


def _version(finding: Finding) -> str:
    details = ", ".join(f"{name} {value}" for name, value in finding.details.items())
    if finding.version and details:
        return f"{finding.version} ({details})"
    return finding.version or details


def _plain_line(finding: Finding) -> str:
    columns = [f"{finding.title:16}", f"{finding.state:10}"]
    columns += [text for text in (_version(finding), _where(finding)) if text]
    return "  ".join(columns).rstrip()


def _show_absent(findings: Sequence[Finding]) -> None:
    if findings:
        _say("\nNot installed, and not needed to build the driver:")
    for finding in findings:
        _say(f"  {finding.title}: {finding.hint}")


def _show_list(findings: Sequence[Finding]) -> None:
    """For terminals that are too narrow for a table."""
    for finding in findings:
        _say(f"{finding.title}: {finding.state}")
        for text in (_version(finding), _where(finding)):
            if text:
                _say(f"  {text}")


def _show_table(findings: Sequence[Finding], width: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    wide = width >= _WIDE_TABLE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("searched for", "state"):
        table.add_column(column, no_wrap=True)
    for column in ("version", "where") if wide else ("version, where",):
        table.add_column(column, overflow="fold")
    colours = {"ok": "green", "PROBLEM": "bold red", "not usable": "yellow"}
    for finding in findings:
        facts = [_version(finding), _where(finding)]
        # Text, not markup: a path may contain square brackets.
        table.add_row(
            Text(finding.title),
            Text(finding.state, style=colours[finding.state]),
            *map(Text, facts if wide else ["\n".join(filter(None, facts))]),
        )
    Console(width=width).print(table)
