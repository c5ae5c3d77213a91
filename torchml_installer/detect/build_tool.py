"""ninja or make: what CMake hands the work to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.detect.programs import which
from torchml_installer.detect.record import Finding, Place
from torchml_installer.errors import MissingToolError
from torchml_installer.process import quick_output


@dataclass(frozen=True)
class BuildToolFinding(Finding):
    """``where`` is the program; ``generator`` is CMake's name for it."""

    generator: str = ""


def detect() -> BuildToolFinding:
    """ninja where there is one (it reports its progress and is quicker), else make."""
    looked: list[Place] = []
    for name, generator in (("ninja", "Ninja"), ("make", "Unix Makefiles")):
        found = which(name)
        if found is None:
            looked.append(Place(Path(name), "PATH", "no such program"))
            continue
        text = quick_output([found[0], "--version"])
        looked.append(Place(*found, "does not run" if text is None else ""))
        if text is not None:
            number = re.search(r"\d+(?:\.\d+)+", text)
            version = f"{name} {number[0]}" if number else name
            return BuildToolFinding(
                name="build-tool",
                title="ninja or make",
                needed=True,
                where=found[0],
                how=found[1],
                version=version,
                generator=generator,
                looked=tuple(looked),
            )
    problem = MissingToolError(
        "Neither ninja nor make was found on PATH or beside the active Python.",
        "Install one with `python -m pip install ninja` or `sudo apt install ninja-build`.",
    )
    return BuildToolFinding(
        name="build-tool",
        title="ninja or make",
        needed=True,
        problem=problem,
        looked=tuple(looked),
    )
