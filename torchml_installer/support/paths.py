"""The folders for this program's own files, by the XDG base directory rules.

platformdirs does not fit: it accepts relative paths, which those rules forbid, and does not support
users without a home."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from torchml_installer.errors import NotPermittedError
from torchml_installer.support import files

#: Relative to the home.
_DATA = Path(".local/share")
#: Bytes that even a small build needs, such as a model's.
_ROOM = 16 * 1024 * 1024
#: Characters that every build tool, and KIM's CMake code, accepts in a path.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@,=~-]+")


def _base(variable: str, default: Path) -> Path:
    value = os.environ.get(variable, "")
    # The XDG rules say to ignore a relative path.
    if value.startswith("/"):
        return Path(value) / "torchml-install"
    home = home_folder()
    if home is None:
        return own_temporary_folder() / default.name
    return home / default / "torchml-install"


def home_folder() -> Path | None:
    """The user's home; None without HOME and without an entry in the list of users."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def cache_folder() -> Path:
    """For builds and logs, which may be deleted at any time (``~/.cache/torchml-install``).

    A temporary folder if that is not writable, as on the nodes of some clusters.
    """
    folder = _base("XDG_CACHE_HOME", Path(".cache"))
    return folder if _is_writable(folder) else own_temporary_folder() / "cache"


def data_folder() -> Path:
    """For receipts and libraries (``~/.local/share/torchml-install``)."""
    return _base("XDG_DATA_HOME", _DATA)


def temporary_folder(tmpdir: str = "") -> Path:
    """Where programs, such as compilers, put temporary files.

    tmpdir: the programs' TMPDIR; "": this process's.
    """
    return Path(tmpdir or os.environ.get("TMPDIR") or "/tmp")


def own_temporary_folder(parent: Path | None = None, *, tmpdir: str = "") -> Path:
    """A folder of this user under the temporary one or another; created if necessary.

    Raises NotPermittedError if another user created it: the name can be guessed.
    """
    name = _own_name()
    if parent is None:
        # An existing one comes first: the disk may have filled up since.
        parents = _plain_temporary_parents(tmpdir)
        made = (place for place in parents if files.exists(place / name))
        parent = next(made, plain_temporary_parent(tmpdir))
    folder = parent / name
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise NotPermittedError(
            f"{folder} belongs to another user.",
            "Set XDG_CACHE_HOME or TMPDIR to a folder that you own.",
        )
    return folder


def temporary_caches() -> list[Path]:
    """Deletable contents of such folders, wherever an earlier run may have created one."""
    found = []
    for parent in _plain_temporary_parents():
        folder = parent / _own_name()
        if files.is_dir(folder) and folder.lstat().st_uid == os.getuid():
            found += [place for place in files.matching(folder, "*") if place.name != _DATA.name]
    return found


def _own_name() -> str:
    return f"torchml-install-{os.getuid()}"


def _is_writable(folder: Path) -> bool:
    nearest = next(place for place in (folder, *folder.parents) if files.exists(place))
    return os.access(nearest, os.W_OK | os.X_OK)


def is_plain(path: Path) -> bool:
    """Whether all characters of a path are safe for every build tool."""
    return _PLAIN_PATH.fullmatch(str(path)) is not None


def plain_temporary_parent(tmpdir: str = "") -> Path:
    """A folder for temporary files with a plain path, whatever TMPDIR is, and with some room.

    Its file system must permit loading libraries from there (not noexec).
    tmpdir: as in ``temporary_folder``.
    """
    folders = _plain_temporary_parents(tmpdir)
    last = folders[0] if folders else Path("/tmp")
    return next((folder for folder in folders if _has_room(folder)), last)


def _plain_temporary_parents(tmpdir: str = "") -> list[Path]:
    first = tmpdir or os.environ.get("TMPDIR", "")
    candidates = map(Path, (first, "/tmp", "/var/tmp", "/dev/shm"))
    return [
        folder
        for folder in dict.fromkeys(candidates)
        if folder.is_absolute() and is_plain(folder) and _can_build(folder)
    ]


def _can_build(folder: Path) -> bool:
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC


def _has_room(folder: Path) -> bool:
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize >= _ROOM
