"""Examines files that may be missing or unreadable, neither of which is an error here.

pathlib raises errors for another user's folder, a file server that does not answer and a path that
is too long.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_WILD = frozenset("*?[")


def is_file(path: Path) -> bool:
    """Whether this is a file that the user can see."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_dir(path: Path) -> bool:
    """Whether this is a folder that the user can see."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether there is anything that the user can see."""
    try:
        return path.exists()
    except OSError:
        return False


def matching(folder: Path, pattern: str) -> list[Path]:
    """The matches below a folder that the user can see, sorted."""
    if not _WILD.intersection(pattern):  # need not read a folder
        return [folder / pattern] if exists(folder / pattern) else []
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def names(folder: Path) -> list[str]:
    """The names in a folder, in any order; none if the user cannot read it."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def waits(path: Path) -> bool:
    """Whether reading it may block or never end: a pipe or a device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def beginning(path: Path, length: int) -> bytes:
    """The first ``length`` bytes of a file, without reading more. Raises OSError."""
    if waits(path):
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
    with path.open("rb") as stream:
        return stream.read(length)


def resolved(path: Path) -> Path:
    """The path without symbolic links, as far as the user can see."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return path.absolute()


def obstacle(folder: Path) -> str:
    """Why a folder cannot be read, as the system reports it; "" if it can, or is missing."""
    try:
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or "it cannot be read"
    return ""
