"""CMake configures the project for ever, see ``configure_loop.py``."""

from __future__ import annotations

from torchml_installer.building.configure_loop import AGAIN, ANEW
from torchml_installer.building.plan import BuildPlan
from torchml_installer.remedies import private_cmake
from torchml_installer.remedies.remedy import Remedy, Repair, Symptom

#: ninja's words, in logs of builds that nobody watched.
_NINJA = "still dirty after 100 tries"


class CMakeLoops(Remedy):
    """The build finds at each start that it has to configure first."""

    name = "cmake-loops"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        return None  # only the build shows it

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        if AGAIN not in text and _NINJA not in text:
            return None
        return Symptom(
            "A file that CMake reads is always newer than what CMake writes: its time stamp is in "
            "the future (check the clocks of this machine and of its file server), or the project "
            "touches it whenever it is configured.",
            repair="build without the rule that configures again",
        )

    def fix(self, plan: BuildPlan) -> Repair:
        # Every build of ours is configured just before: nothing is lost.
        once = plan.with_variables({"CMAKE_SUPPRESS_REGENERATION": "ON"})
        return Repair("the build does not configure itself again.", once)


class CMakeRestarts(Remedy):
    """The configuration itself begins anew for ever."""

    name = "cmake-restarts"

    def before_build(self, plan: BuildPlan) -> Symptom | None:
        return None

    def in_log(self, text: str, plan: BuildPlan) -> Symptom | None:
        if ANEW not in text:
            return None
        return Symptom(
            "Each time, the project chooses another compiler than the one that CMake wrote down, "
            "and CMake begins anew. Not every release of CMake does that.",
            repair=private_cmake.offer(),
            command=private_cmake.command() if private_cmake.offer() else (),
        )

    def fix(self, plan: BuildPlan) -> Repair:
        return private_cmake.fetched(plan)
