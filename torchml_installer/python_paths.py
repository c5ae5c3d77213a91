"""Where the active Python keeps what: its headers, its programs, a user's own packages."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from threading import Lock

#: The first question to sysconfig fills its table of variables; before Python 3.13 a second
#: thread that asks meanwhile gets a table without half of them. Detectors run in threads.
_ONE_AT_A_TIME = Lock()


def python_path(name: str) -> Path:
    """A folder of the active Python by its name in sysconfig, for example ``include``."""
    with _ONE_AT_A_TIME:
        return Path(sysconfig.get_path(name))


def user_path(name: str) -> Path:
    """The same where pip installs for one user only (below ~/.local)."""
    with _ONE_AT_A_TIME:
        return Path(sysconfig.get_path(name, sysconfig.get_preferred_scheme("user")))
