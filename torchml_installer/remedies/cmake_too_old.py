"""A CMake older than 3.18: what long-term-support systems and clusters come with."""

from __future__ import annotations

import sys

from torchml_installer.errors import CMakeTooOldError
from torchml_installer.process import run_logged
from torchml_installer.remedies.remedy import Change, Context, Remedy, Symptom

COMMAND = (sys.executable, "-m", "pip", "install", "--upgrade", "cmake")


class CMakeTooOld(Remedy):
    name = "cmake-too-old"

    def before_build(self, context: Context) -> Symptom | None:
        cmake = context.tools.cmake
        if not isinstance(cmake.problem, CMakeTooOldError):
            return None
        return Symptom(
            f"CMake {cmake.version} in {cmake.where} lacks what the driver's build uses. pip has a "
            "newer one, which is installed beside Python and leaves the system's alone; it is "
            "found there without changing PATH.",
            repair="install CMake into the active Python",
            command=COMMAND,
            error=cmake.problem,
        )

    def fix(self, context: Context) -> Change:
        run_logged(COMMAND, title="installing a newer CMake", log=context.log)
        return Change("CMake was installed into the active Python.")
