"""Turns an uncaught error of the system, such as a full disk, into a failure for the user."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from torchml_installer.errors import NotPermittedError, TorchMLError
from torchml_installer.support import disk
from torchml_installer.support.paths import cache_folder, data_folder, temporary_folder

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def known(error: Exception) -> TorchMLError | None:
    """The failure to show to the user; None for a bug in this program."""
    if isinstance(error, shutil.Error):
        return _of_copying(error)
    if not isinstance(error, OSError):
        return None
    # When copying, filename2 is the file being written.
    name = error.filename2 or error.filename
    place = Path(os.fsdecode(name)) if isinstance(name, (str, bytes)) else None
    if error.errno in _FULL:
        what = f"Cannot write {place}" if place else "Cannot write"
        return disk.full(what, said=os.strerror(error.errno), place=place)
    if error.errno in _FORBIDDEN:
        return not_permitted(error.strerror or "", place)
    if error.errno == errno.ENOENT and "No usable temporary directory" in str(error):
        temporary = temporary_folder()
        if disk.free(temporary) == 0:
            return disk.full("Cannot write temporary files", place=temporary)
        return NotPermittedError(
            f"No folder for temporary files is writable. Tried {temporary}, /tmp and /var/tmp.",
            "Set TMPDIR to a folder that you own.",
        )
    return None


def not_permitted(reason: str, place: Path | None) -> NotPermittedError:
    """The error for a place without permission, with a way to use another one."""
    if place is None:
        return NotPermittedError(f"{reason}.")
    remedy = None
    for find, advice in (
        (cache_folder, "set XDG_CACHE_HOME to a folder that you own"),
        (data_folder, "set XDG_DATA_HOME to a folder that you own, or name one with --prefix"),
        (temporary_folder, "set TMPDIR to a folder that you own"),
    ):
        folder = Path()
        with contextlib.suppress(OSError, TorchMLError):
            folder = find()
        if place.is_relative_to(folder) or folder.is_relative_to(place):
            remedy = f"Check the owner and permissions of that path, or {advice}."
            break
    return NotPermittedError(f"{reason}: {place}.", remedy)


def _of_copying(error: shutil.Error) -> TorchMLError | None:
    """shutil.copytree collects failures as (source, target, text)."""
    for failure in error.args[0] if error.args else ():
        target, text = Path(failure[1]), str(failure[2])
        if disk.says_full(text):
            return disk.full(f"Cannot write {target}", said=text, place=target)
        if any(os.strerror(number) in text for number in _FORBIDDEN):
            return not_permitted("Permission denied", target)
    return None
