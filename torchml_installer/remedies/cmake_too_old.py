"""A CMake older than 3.18: what long-term-support systems and clusters come with."""

from __future__ import annotations

import sys
from pathlib import Path

from torchml_installer.detect import Survey
from torchml_installer.errors import CMakeTooOldError
from torchml_installer.process import run_logged

NAME = "cmake-too-old"
COMMAND: tuple[str, ...] = (sys.executable, "-m", "pip", "install", "--upgrade", "cmake")


def recognise(survey: Survey) -> bool:
    return isinstance(survey.toolchain.cmake.problem, CMakeTooOldError)


def explain(survey: Survey) -> str:
    cmake = survey.toolchain.cmake
    return (
        f"CMake {cmake.version} in {cmake.where} lacks what the driver's build uses. pip has a "
        "newer one, which is installed beside Python and leaves the system's alone; it is found "
        "there without changing PATH."
    )


def apply(survey: Survey, log: Path) -> None:
    """Installs CMake into the active Python."""
    run_logged(COMMAND, title="installing a newer CMake", log=log)
