"""Looking at files that may not be there, or not for this user: that is no error of detection.

A folder of somebody else's, a file server that does not answer, a path that is too long: pathlib's
own questions raise for them.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_WILD = frozenset("*?[")


def is_file(path: Path) -> bool:
    """Whether that is a file which this user can see."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_dir(path: Path) -> bool:
    """Whether that is a folder which this user can see."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether there is something which this user can see."""
    try:
        return path.exists()
    except OSError:
        return False


def matching(folder: Path, pattern: str) -> list[Path]:
    """What matches below a folder, sorted; as much of it as this user can see."""
    if not _WILD.intersection(pattern):  # no folder has to be read for it
        return [folder / pattern] if exists(folder / pattern) else []
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def names(folder: Path) -> list[str]:
    """What lies in a folder, in any order; nothing where this user cannot look."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def waits(path: Path) -> bool:
    """Whether reading may wait for somebody who writes, or never end: a pipe, a device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def beginning(path: Path, length: int) -> bytes:
    """At most so many bytes of a file, of which no more is read. Raises OSError."""
    if waits(path):
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
    with path.open("rb") as stream:
        return stream.read(length)


def resolved(path: Path) -> Path:
    """The path without links, as far as this user can see."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link that leads back to itself
        return path.absolute()


def obstacle(folder: Path) -> str:
    """Why a folder cannot be looked into, in the system's words; "" if it can, or is missing."""
    try:
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or "it cannot be read"
    return ""
