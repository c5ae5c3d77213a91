"""Explains a full disk: which file system, how much is left, and what to move elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.errors import DiskFullError, TorchMLError
from torchml_installer.support import files
from torchml_installer.support.paths import cache_folder, data_folder, temporary_folder
from torchml_installer.support.user_python import user_python

#: Messages of the C library, apt and others.
_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|have enough free space|NoSpaceLeftError"
)
#: Bytes. With more left than this, it was probably another disk, or full only for a moment.
_PLENTY = 10e6
_PATH = re.compile(r"(?<![\w.])/[^\s:'\",;)]+")


@dataclass(frozen=True)
class _Use:
    """A folder that this program writes to. advice: how to move it elsewhere, a clause."""

    folder: Path
    what: str
    advice: str


def says_full(line: str) -> bool:
    """Whether this is a program's message about a full disk."""
    return _FULL.search(line) is not None


def full(
    what: str,
    *,
    said: str = "",
    place: Path | None = None,
    needed: int = 0,
    log: Path | None = None,
) -> DiskFullError:
    """The error for a full disk.

    what: the action that failed. said: a program's message about it. place: a file or folder on
    that disk, if known. needed: bytes, 0 if unknown. log: the program's.
    """
    uses = list(_uses())
    place = place or _place_named(said)
    if place is None:
        place = min((use.folder for use in uses), key=free)
        if free(place) > _PLENTY:
            return _somewhere(what, uses, log)
    mount = _mount(place)
    quota = "quota" in said
    left = _left(place)
    here = [use for use in uses if device(use.folder) == device(place)]
    content = f" ({', '.join(f'{use.what} in {use.folder}' for use in here)})" if here else ""
    want = f", but {_megabytes(needed)} are needed" if needed else ""
    if quota:
        message = f"{what}: your quota on {mount}{content} is used up{want}."
        free_some = f"Delete some of your files there (see `quota -s`; on the disk, {left})"
    else:
        message = f"{what}: no space left on {mount}{content}: {left}{want}."
        free_some = "Free some space there"
    if log is not None:
        message += f"\n  log: {log}"
    advice = "".join(f", or {use.advice}" for use in here)
    return DiskFullError(message, f"{free_some}{advice}.")


def _somewhere(what: str, uses: Sequence[_Use], log: Path | None) -> DiskFullError:
    """The error if the file was removed again and no message names the disk."""
    places = "; ".join(f"{use.folder} ({use.what}): {_left(use.folder)}" for use in uses)
    message = f"{what}: no space left on some disk. At present: {places}."
    if log is not None:
        message += f"\n  log: {log}"
    advice = " or ".join(use.advice for use in uses)
    return DiskFullError(message, f"Free some space on the fullest of them, or {advice}.")


def free(folder: Path) -> int:
    """Bytes that this user may still write; 0 if unknown."""
    try:
        facts = os.statvfs(_nearest(folder))
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize


def nothing_left(folder: Path) -> bool:
    """Whether a folder's disk has no room left, for bytes or for files."""
    try:
        facts = os.statvfs(_nearest(folder))
    except OSError:
        return False
    return facts.f_bavail == 0 or (facts.f_files > 0 and facts.f_favail == 0)


def device(place: Path) -> int:
    """The number of the device that a place is on, or will be."""
    return _nearest(place).stat().st_dev


def _uses() -> Iterator[_Use]:
    elsewhere = "to a folder on another disk"
    for find, what, advice in (
        (temporary_folder, "temporary files", f"set TMPDIR {elsewhere}"),
        (cache_folder, "builds", f"set XDG_CACHE_HOME {elsewhere}"),
        (data_folder, "libraries", "name a folder on another disk with --prefix"),
        (_python, "Python packages", "use a Python environment on another disk"),
    ):
        # Finding some of them creates them, which fails on a full disk.
        with contextlib.suppress(OSError, TorchMLError):
            yield _Use(find(), what, advice)


def _python() -> Path:
    return user_python().prefix


def _place_named(said: str) -> Path | None:
    for line in said.splitlines():
        if says_full(line) and (found := _PATH.findall(line)):
            return Path(found[-1])
    return None


def _left(place: Path) -> str:
    try:
        facts = os.statvfs(_nearest(place))
    except OSError:
        return "free space is unknown"
    if facts.f_bavail and facts.f_files and not facts.f_favail:
        return "no more files fit (no free inodes)"
    return f"{_megabytes(facts.f_bavail * facts.f_frsize)} are free"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 10e9 else f"{size / 1e9:.0f} GB"


def _nearest(place: Path) -> Path:
    place = place.absolute()
    return next(path for path in (place, *place.parents) if files.exists(path))


def _mount(place: Path) -> Path:
    folder = _nearest(place).resolve()
    while folder != folder.parent and device(folder.parent) == device(folder):
        folder = folder.parent
    return folder
