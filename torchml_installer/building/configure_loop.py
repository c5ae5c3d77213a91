"""Notices while it happens that CMake keeps reconfiguring a project.

A build runs CMake again when a file that CMake read is newer than what CMake wrote. With a time
stamp in the future (a skewed clock, a network file system), or in a project that touches the files
it reads, that never ends: ninja gives up after a hundred rounds, make never. A configuration can
also restart itself, if the project selects another compiler than the requested one.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from torchml_installer.errors import ConfigureLoopError

_RERUN = re.compile(r"^\[\d+/\d+\] Re-running CMake|^Re-run cmake |^-- Configuring done")
_RESTART = "You have changed variables that require your cache to be deleted"
#: Lines of the build itself: configuring again once, then compiling, is not a loop.
_WORK = re.compile(r"^\[[ \d]+(/\d+|%)\] (?!Re-running CMake)")
#: Each round of a loop prints one or two of these lines.
_ROUNDS = 4
#: Parts of the messages that tell the remedy which of the two loops it was.
AGAIN = "keeps reconfiguring the project"
ANEW = "keeps restarting its configuration"


class LoopWatch:
    """Watches the output of one run of CMake, or of the build that it wrote."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        """folders: may contain files with a time stamp in the future."""
        self._folders = folders
        self._reruns = 0
        self._restarts = 0

    def see(self, line: str) -> None:
        """Raises ConfigureLoopError at the fourth round."""
        if _WORK.match(line):
            self._reruns = 0
        elif line.startswith(_RESTART):
            self._restarts += 1
            self._reruns = 0
        elif _RERUN.match(line):
            # ninja prints the start and CMake the end of each round.
            self._reruns += 1
        if self._restarts >= _ROUNDS:
            raise ConfigureLoopError(f"CMake {ANEW} and was stopped. It printed: {_RESTART}.")
        if self._reruns >= 2 * _ROUNDS:
            raise ConfigureLoopError(f"CMake {AGAIN} and was stopped.{self._reason()}")

    def _reason(self) -> str:
        now = time.time()
        for folder in self._folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and (ahead := path.stat().st_mtime - now) > 1.0:
                    return f" {path} has a time stamp {ahead:.0f} s in the future."
        return ""
