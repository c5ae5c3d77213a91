"""Where this program keeps its own files, after the XDG base directory rules."""

from __future__ import annotations

import os
import re
from pathlib import Path

#: Characters that every build tool, and KIM's CMake code, takes in a path.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@,=~-]+")


def _base(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The XDG rules: a relative path is to be ignored.
    folder = Path(value) if value.startswith("/") else Path.home() / default
    return folder / "torchml-install"


def cache_folder() -> Path:
    """Builds and logs: may be deleted at any time (``~/.cache/torchml-install``)."""
    return _base("XDG_CACHE_HOME", ".cache")


def data_folder() -> Path:
    """Receipts of what was installed (``~/.local/share/torchml-install``)."""
    return _base("XDG_DATA_HOME", ".local/share")


def is_plain(path: Path) -> bool:
    """Whether a path holds only characters that no build tool gives a meaning of its own."""
    return _PLAIN_PATH.fullmatch(str(path)) is not None


def plain_temporary_parent() -> Path:
    """A folder for temporary files whose path is plain, whatever TMPDIR says."""
    for candidate in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp"):
        folder = Path(candidate)
        usable = folder.is_absolute() and is_plain(folder) and os.access(folder, os.W_OK | os.X_OK)
        if candidate and usable:
            return folder
    return Path("/tmp")
