"""What is behind an exception of the system that nobody has caught: disk or permission."""

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
    """The failure as users are told of it; None for what is a fault of this program."""
    if isinstance(error, shutil.Error):
        return _of_copying(error)
    if not isinstance(error, OSError):
        return None
    # Of a copy, the second is what was being written.
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
            f"No folder for temporary files can be written to: {temporary}, /tmp and /var/tmp.",
            "Set TMPDIR to a folder of yours.",
        )
    return None


def not_permitted(reason: str, place: Path | None) -> NotPermittedError:
    """The error for a place that may not be read or written, with what moves it elsewhere."""
    if place is None:
        return NotPermittedError(f"{reason}.")
    remedy = None
    for find, advice in (
        (cache_folder, "set XDG_CACHE_HOME to a folder of yours"),
        (data_folder, "set XDG_DATA_HOME to a folder of yours, or name one with --prefix"),
        (temporary_folder, "set TMPDIR to a folder of yours"),
    ):
        folder = Path()
        with contextlib.suppress(OSError, TorchMLError):
            folder = find()
        if place.is_relative_to(folder) or folder.is_relative_to(place):
            remedy = f"Check the owner and the permissions of that path, or {advice}."
            break
    return NotPermittedError(f"{reason}: {place}.", remedy)


def _of_copying(error: shutil.Error) -> TorchMLError | None:
    """shutil.copytree gathers failures as (source, target, text)."""
    for failure in error.args[0] if error.args else ():
        target, text = Path(failure[1]), str(failure[2])
        if disk.says_full(text):
            return disk.full(f"Cannot write {target}", said=text, place=target)
        if any(os.strerror(number) in text for number in _FORBIDDEN):
            return not_permitted("Permission denied", target)
    return None
