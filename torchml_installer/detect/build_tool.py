"""ninja or make: the tool that builds what CMake configures."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from torchml_installer.detect.programs import which_all
from torchml_installer.detect.record import Finding, Place
from torchml_installer.errors import MissingToolError
from torchml_installer.support.process import quick_output


@dataclass(frozen=True)
class BuildToolFinding(Finding):
    """``where`` is the program; ``generator`` is CMake's name for it."""

    generator: str = ""


def detect() -> BuildToolFinding:
    """ninja if there is one (it is faster and reports progress), else make."""
    looked: list[Place] = []
    chosen: BuildToolFinding | None = None
    for name, generator in (("ninja", "Ninja"), ("make", "Unix Makefiles")):
        found = which_all(name)
        if not found:
            looked.append(Place(Path(name), "PATH", "no such program"))
        for program, how in found:
            if chosen is not None:
                looked.append(Place(program, how, "an earlier one is used"))
                continue
            text = quick_output([program, "--version"])
            looked.append(Place(program, how, "does not run" if text is None else ""))
            if text is not None:
                number = re.search(r"\d+(?:\.\d+)+", text)
                chosen = BuildToolFinding(
                    name="build-tool",
                    title="ninja or make",
                    needed=True,
                    where=program,
                    how=how,
                    version=f"{name} {number[0]}" if number else name,
                    generator=generator,
                )
    if chosen is not None:
        return replace(chosen, looked=tuple(looked))
    problem = MissingToolError(
        "Neither ninja nor make is on PATH or beside the active Python.",
        "Install one with `python -m pip install ninja` or `sudo apt install ninja-build`.",
    )
    return BuildToolFinding(
        name="build-tool",
        title="ninja or make",
        needed=True,
        problem=problem,
        looked=tuple(looked),
    )
