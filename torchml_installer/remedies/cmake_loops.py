"""CMake configures the project for ever, see ``configure_loop.py``."""

from __future__ import annotations

from torchml_installer.building.configure_loop import AGAIN, ANEW
from torchml_installer.remedies import private_cmake
from torchml_installer.remedies.remedy import Change, Context, Remedy, Symptom

#: ninja's words, in logs of builds that nobody watched.
_NINJA = "still dirty after 100 tries"


class CMakeLoops(Remedy):
    """The build finds at each start that it has to configure first."""

    name = "cmake-loops"

    def before_build(self, context: Context) -> Symptom | None:
        return None  # only the build shows it

    def in_log(self, text: str, context: Context) -> Symptom | None:
        if AGAIN not in text and _NINJA not in text:
            return None
        return Symptom(
            "A file that CMake reads is always newer than what CMake writes: its time stamp is in "
            "the future (check the clocks of this machine and of its file server), or the project "
            "touches it whenever it is configured.",
            repair="build without the rule that configures again",
        )

    def fix(self, context: Context) -> Change:
        # Every build of ours is configured just before: nothing is lost.
        variables = {"CMAKE_SUPPRESS_REGENERATION": "ON"}
        return Change("the build does not configure itself again.", variables=variables)


class CMakeRestarts(Remedy):
    """The configuration itself begins anew for ever."""

    name = "cmake-restarts"

    def before_build(self, context: Context) -> Symptom | None:
        return None

    def in_log(self, text: str, context: Context) -> Symptom | None:
        if ANEW not in text:
            return None
        return Symptom(
            "Each time, the project chooses another compiler than the one that CMake wrote down, "
            "and CMake begins anew. Not every release of CMake does that.",
            repair=private_cmake.offer(),
            command=private_cmake.command() if private_cmake.offer() else (),
        )

    def fix(self, context: Context) -> Change:
        return private_cmake.fetched(context)
