"""CMake never stops configuring the project, see ``configure_loop.py``."""

from __future__ import annotations

from torchml_installer.building.configure_loop import AGAIN, ANEW
from torchml_installer.building.plan import BuildPlan
from torchml_installer.remedies import private_cmake
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom

#: ninja's message, for logs of builds that nothing watched.
_NINJA = "still dirty after 100 tries"


class CMakeLoops(Remedy):
    """The build decides at each start that it must configure first."""

    name = "cmake-loops"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        return None  # only the build shows it

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        if AGAIN not in text and _NINJA not in text:
            return None
        return Symptom(
            "A file that CMake reads always looks newer than the files that CMake writes. Either "
            "its time stamp is in the future (check the clocks of this machine and its file "
            "server), or configuring the project changes it.",
            repair="build without the rule that runs CMake again",
        )

    def fix(self, plan: BuildPlan) -> Repair:
        # We configure right before each build: the rule is not needed.
        once = plan.with_variables({"CMAKE_SUPPRESS_REGENERATION": "ON"})
        return Repair("the build no longer runs CMake again.", once)


class CMakeRestarts(Remedy):
    """The configuration itself never stops restarting."""

    name = "cmake-restarts"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        return None

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        if ANEW not in text:
            return None
        return Symptom(
            "Each time, the project selects another compiler than the one that CMake recorded, and "
            "CMake starts over. Not every release of CMake does that.",
            repair=private_cmake.offer(),
            command=private_cmake.command() if private_cmake.offer() else (),
        )

    def fix(self, plan: BuildPlan) -> Repair:
        return private_cmake.fetched(plan)
