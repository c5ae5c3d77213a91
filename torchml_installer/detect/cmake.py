"""CMake."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from torchml_installer.detect.programs import places, which_all
from torchml_installer.detect.python_packages import folder_of
from torchml_installer.detect.record import Finding, Place, version_tuple
from torchml_installer.errors import CMakeTooOldError, NoCMakeError, TorchMLError
from torchml_installer.support import files
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.process import quick_output
from torchml_installer.support.user_python import user_python

MINIMUM = (3, 18)


def detect(explicit: Path | None = None) -> Finding:
    """The first CMake that is new enough: on PATH, beside the active Python, or from a repair.

    explicit: the CMake that a repair selected.
    """
    if explicit is not None:
        found = inspect(explicit, "a repair")
        refused = "" if found.problem is None else found.problem.message
        return replace(found, looked=(Place(explicit, "a repair", refused),))
    first: Finding | None = None
    looked: list[Place] = []
    candidates = which_all("cmake")
    if files.is_file(private_program()):
        candidates.append((private_program(), "a repair"))
    for program, how in candidates:
        if first is not None and first.usable:
            looked.append(Place(program, how, "an earlier one is used"))
            continue
        finding = inspect(program, how)
        refused = "" if finding.problem is None else finding.problem.message
        looked.append(Place(program, how, refused))
        if first is None or finding.usable:
            first = finding
    if first is not None:
        return replace(first, looked=tuple(looked))
    message = "CMake is neither on PATH nor beside the active Python."
    return replace(_finding(problem=NoCMakeError(message)), looked=places("cmake"))


def private_folder() -> Path:
    """Where a repair puts a private CMake, as pip does with --target."""
    return cache_folder() / "cmake"


def private_program() -> Path:
    """The program itself; the script beside it needs the package on Python's path."""
    return private_folder() / "cmake/data/bin/cmake"


def inspect(program: Path, how: str) -> Finding:
    """The CMake at that path."""
    text = quick_output([behind(program), "--version"])
    match = re.search(r"cmake version (\d+(?:\.\d+)*)", text or "")
    problem: TorchMLError | None = None
    version = match[1] if match else ""
    least = ".".join(map(str, MINIMUM))
    if not match:
        problem = NoCMakeError(f"The CMake {program} ({how}) does not run.")
    elif version_tuple(version) < MINIMUM:
        message = (
            f"The CMake {program} ({how}) is version {version}; the driver needs {least} or newer."
        )
        problem = CMakeTooOldError(message)
    return _finding(where=program, how=how, version=version, problem=problem)


def behind(program: Path) -> Path:
    """The program that pip's cmake script starts: calling it directly saves starting a Python.

    Looks behind the script only if the active Python runs it: it works then.
    """
    package = folder_of("cmake")
    if package is None or not files.is_file(package / "data/bin/cmake"):
        return program
    try:
        with program.open("rb") as stream:
            first = stream.readline().strip()
    except OSError:
        return program
    python, active = Path(os.fsdecode(first.removeprefix(b"#!"))), Path(user_python().executable)
    # python, python3 and python3.11 of an environment are links to one program.
    same = python.parent == active.parent and files.resolved(python) == files.resolved(active)
    return package / "data/bin/cmake" if same else program


def _finding(
    *,
    where: Path | None = None,
    how: str = "",
    version: str = "",
    problem: TorchMLError | None = None,
) -> Finding:
    return Finding(
        name="cmake",
        title="CMake",
        needed=True,
        where=where,
        how=how,
        version=version,
        problem=problem,
    )
