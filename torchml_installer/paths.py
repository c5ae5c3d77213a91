"""Where this program keeps its own files, after the XDG base directory rules."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

from torchml_installer import files
from torchml_installer.errors import NotPermittedError

#: Characters that every build tool, and KIM's CMake code, takes in a path.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@,=~-]+")


def _base(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The XDG rules: a relative path is to be ignored.
    if value.startswith("/"):
        return Path(value) / "torchml-install"
    home = home_folder()
    if home is None:
        return own_temporary_folder() / Path(default).name
    return home / default / "torchml-install"


def home_folder() -> Path | None:
    """The user's home; None for a user without one: no HOME, and in no list of users."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def cache_folder() -> Path:
    """Builds and logs: may be deleted at any time (``~/.cache/torchml-install``).

    Where it cannot be written to, as on the nodes of some clusters, a temporary folder.
    """
    folder = _base("XDG_CACHE_HOME", ".cache")
    return folder if _is_writable(folder) else own_temporary_folder() / "cache"


def data_folder() -> Path:
    """Receipts of what was installed (``~/.local/share/torchml-install``)."""
    return _base("XDG_DATA_HOME", ".local/share")


def temporary_folder() -> Path:
    """Where programs put temporary files, compilers for one."""
    return Path(os.environ.get("TMPDIR") or "/tmp")


def own_temporary_folder() -> Path:
    """A folder below the temporary one that is this user's alone, made if need be.

    Raises NotPermittedError where somebody else has made it: the name can be guessed.
    """
    folder = plain_temporary_parent() / f"torchml-install-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise NotPermittedError(
            f"{folder} is not yours: somebody else has made it.",
            "Set XDG_CACHE_HOME, or TMPDIR, to a folder of yours.",
        )
    return folder


def _is_writable(folder: Path) -> bool:
    nearest = next(place for place in (folder, *folder.parents) if files.exists(place))
    return os.access(nearest, os.W_OK | os.X_OK)


def is_plain(path: Path) -> bool:
    """Whether a path holds only characters that no build tool gives a meaning of its own."""
    return _PLAIN_PATH.fullmatch(str(path)) is not None


def plain_temporary_parent() -> Path:
    """A folder for temporary files whose path is plain, whatever TMPDIR says.

    What is built there is loaded from there, which a file system can forbid (noexec).
    """
    for candidate in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp", "/dev/shm"):
        folder = Path(candidate)
        if folder.is_absolute() and is_plain(folder) and _can_build(folder):
            return folder
    return Path("/tmp")


def _can_build(folder: Path) -> bool:
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC
