"""``doctor``: shows everything that was searched for, all problems, and what to do next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from torchml_installer import remedies
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Survey
from torchml_installer.detect.record import Finding
from torchml_installer.doctor import table
from torchml_installer.errors import TorchMLError
from torchml_installer.support import console


def exit_code(survey: Survey) -> int:
    """0 if the driver can be built here, or a prebuilt one fits; otherwise the exit code of the
    first problem."""
    problems = (finding.problem for finding in _needed(survey))
    return next((problem.exit_code for problem in problems if problem is not None), 0)


def _needed(survey: Survey) -> tuple[Finding, ...]:
    """What the driver needs here: no compiler where a prebuilt one fits."""
    tools = survey.toolchain
    return (tools.torch, tools.kim) if _is_prebuilt(survey) else tools.findings()


def _is_prebuilt(survey: Survey) -> bool:
    """Whether a prebuilt driver fits."""
    return survey.get("prebuilt-driver").usable


def as_json(survey: Survey) -> dict[str, Any]:
    """The output of ``doctor --json``; ``schema`` documents each field."""
    code = exit_code(survey)
    return {
        "schema": 1,
        "ok": code == 0,
        "exit_code": code,
        "findings": [finding.as_json() for finding in survey.findings()],
        "known_problems": [found.as_json() for found in _known_problems(survey)],
    }


def schema() -> str:
    """The output of ``doctor --schema``: the JSON Schema of ``doctor --json``."""
    return Path(__file__).with_name("schema.json").read_text(encoding="utf-8")


def show(survey: Survey, *, places: bool = False) -> None:
    """Prints what was found, every problem with its remedy, and last what to do next.

    places: also show every place that was searched, and why what is there was not used.
    """
    table.show(survey.findings())
    for finding in survey.findings() if places else ():
        if finding.looked:
            console.show(f"\nSearched for {finding.title} in:")
        good = "writable" if finding.name == "kim-collections" else "used"
        for place in finding.looked:
            how = "" if str(place.where).strip("$") == place.how.strip("$") else f" ({place.how})"
            console.show(f"  {place.where}{how}: {place.refused or good}")
    for finding in survey.findings():
        if finding.problem is not None:
            _show_headed(finding.title, finding.problem.message, "bad" if finding.needed else "odd")
            console.show(f"  what to do: {finding.problem.remedy}")
    for found in _known_problems(survey):
        fatal = found.symptom.error is not None
        title = f"known problem {found.name}"
        _show_headed(title, found.symptom.explanation, "bad" if fatal else "odd")
        if found.symptom.command:
            repair = shlex.join(found.symptom.command)
            console.show(f"  repair: `{repair}` (or `torchml-install doctor --fix`)")
        elif found.symptom.repair:
            console.show(f"  repair: `torchml-install driver --fix` will {found.symptom.repair}")
    verdict, is_good = _verdict(survey)
    first, _, rest = console.fitted(f"\n{verdict}", sys.stdout).strip("\n").partition("\n")
    print(f"\n{console.styled(first, 'good' if is_good else 'bad', sys.stdout)}")
    if rest:
        print(rest)


def _show_headed(title: str, text: str, style: str) -> None:
    """A paragraph whose title is coloured."""
    fitted = console.fitted(f"{title}: {text}", sys.stdout)
    if fitted.startswith(title):  # not broken within the title
        fitted = console.styled(title, style, sys.stdout) + fitted[len(title) :]
    print(f"\n{fitted}")


def _verdict(survey: Survey) -> tuple[str, bool]:
    """What to do next, and whether the driver can be built."""
    problems = [one for one in _needed(survey) if one.problem is not None]
    if not problems and survey.get("kim-collections").usable:
        if survey.get("lammps").problem is not None:
            return "The driver is installed.\nFor LAMMPS, solve the problem above first.", True
        ready = "Everything needed is installed."
        return f"{ready}\nRun a first model with `torchml-install quickstart`.", True
    if not problems and _is_prebuilt(survey):
        ready = "A prebuilt driver fits: nothing has to be compiled."
        return f"{ready}\nInstall it with `torchml-install driver`.", True
    if not problems:
        from torchml_installer.driver import python_module

        ready = "Everything needed to build the driver is there"
        if (obstacle := python_module.obstacle()) is None:
            ready += "."
        else:
            ready += f", except for its Python module. {obstacle.message}\n{obstacle.remedy}"
        return f"{ready}\nBuild it with `torchml-install driver`.", True
    cannot = "The driver cannot be built yet."
    if any(finding.named for finding in problems) or survey.get("python").problem is not None:
        # `deps` installs nothing beside what the user named, nor where it would not be found.
        first = problems[0].title if problems else "Python"
        return f"{cannot}\nStart with the first problem above: {first}.", False
    return (
        f"{cannot}\nInstall what is missing with `torchml-install deps` "
        "(`torchml-install deps --dry-run` shows how).",
        False,
    )


def apply_remedies(survey: Survey) -> list[TorchMLError]:
    """Repairs every known problem that a command can repair; returns the errors that occurred.

    Other repairs are part of a build: ``driver --fix`` applies them.
    """
    hindered = []
    for found in _known_problems(survey):
        if not found.symptom.command:
            continue
        try:
            found.remedy.fix(BuildPlan.of(survey))
        except TorchMLError as error:
            error.message = f"Cannot repair {found.name}: {error.message}"
            hindered.append(error)
    return hindered


def _known_problems(survey: Survey) -> tuple[remedies.Recognised, ...]:
    return remedies.recognised(BuildPlan.of(survey))
