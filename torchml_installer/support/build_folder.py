"""Build folders: kept between runs, one for each combination of a build's inputs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torchml_installer.support import console, files
from torchml_installer.support.paths import cache_folder, is_plain, own_temporary_folder

#: The age at which unused builds are removed.
_KEPT_SECONDS = 60 * 24 * 3600.0
#: The file that names the sources of a build.
_ORIGIN = "sources.txt"
_IGNORED = shutil.ignore_patterns("__pycache__", "build", "_skbuild", "*.pyc", ".*")


def source_files(folder: Path) -> list[Path]:
    """The files of a source folder, sorted, without leftovers of builds and editors."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        ignored = _IGNORED(parent, [*folders, *names])
        folders[:] = sorted(set(folders) - ignored)
        found += [Path(parent) / name for name in sorted(set(names) - ignored)]
    return found


def key(sources: Path, facts: Sequence[str]) -> str:
    """A name for the build: a hash of the sources' location and of other facts.

    The contents of the sources do not count: after a change, the build continues in the same
    folder.
    """
    digest = hashlib.sha256()
    for fact in (str(sources.resolve()), *facts):
        # A path may contain bytes that are not valid text.
        digest.update(f"{fact}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:20]


def default_parent(tmpdir: str = "") -> Path:
    """Where build folders are kept.

    Compilers and KIM's CMake code fail with quotes and dollar signs in paths: instead of a cache
    folder with such a path, this uses one under the temporary folder.
    tmpdir: as in ``paths.temporary_folder``.
    """
    parent = cache_folder() / "build"
    if is_plain(parent):
        return parent
    return own_temporary_folder(tmpdir=tmpdir) / "build"


def copy_sources(sources: Path, target: Path) -> None:
    """Brings ``target`` up to date with ``sources``.

    Unchanged files keep their time stamps, so that nothing is compiled twice. A file beside the
    copy records for ``prune`` where the sources are.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_name(_ORIGIN).write_bytes(os.fsencode(sources.resolve()))
    wanted = {path.relative_to(sources): path for path in source_files(sources)}
    if target.exists():
        for old in source_files(target):
            if old.relative_to(target) not in wanted:
                old.unlink()
    for relative, path in wanted.items():
        place = target / relative
        contents = path.read_bytes()
        if place.is_file() and place.read_bytes() == contents:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(place.name + ".partial")
        partial.write_bytes(contents)
        partial.replace(place)


def is_ours(folder: Path) -> bool:
    """Whether this is a build folder of ours, complete or not."""
    return files.is_file(folder / _ORIGIN)


@dataclass(frozen=True)
class Lock:
    """A held lock. number: the file's descriptor; waited: whether another process had it."""

    number: int
    waited: bool


@contextlib.contextmanager
def locked(folder: Path, what: str = "that builds this") -> Iterator[Lock]:
    """Locks the folder for this process; waits, and says so, while another process holds it.

    what: what the other process does, for the message. The lock ends with its process, however that
    ends, and with the processes that inherited the file. (filelock does not name the holder, and
    fails on file servers without locks.)
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(folder.name + ".lock")
    waited = False
    while True:
        with path.open("a+") as lock:
            if _is_held(lock):
                waited = True
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                console.note(f"waiting for another torchml-install (process {holder}) {what}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_still(lock, path):
                continue  # the previous holder removed the file: lock the new one
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield Lock(lock.fileno(), waited)
            return


def _is_held(lock: IO[str]) -> bool:
    """Takes the lock unless another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        # A file server without locks: there is nothing to wait for.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        console.warn(
            f"cannot lock {lock.name} ({error.strerror}). Run only one torchml-install at a time, "
            "or set XDG_CACHE_HOME to a folder on a local disk."
        )
    return False


def _is_still(lock: IO[str], path: Path) -> bool:
    try:
        return os.fstat(lock.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def prune(parent: Path, keep: Path) -> None:
    """Removes builds under ``parent``, except ``keep``, that were unused for two months or whose
    sources are gone."""
    oldest = time.time() - _KEPT_SECONDS
    for lock_path in parent.glob("*.lock"):
        folder = lock_path.with_suffix("")
        recent = lock_path.stat().st_mtime > oldest
        if folder == keep or (recent and not _is_orphan(folder)):
            continue
        with contextlib.suppress(OSError), lock_path.open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            lock_path.unlink(missing_ok=True)


def _is_orphan(folder: Path) -> bool:
    try:
        origin = Path(os.fsdecode((folder / _ORIGIN).read_bytes()))
    except OSError:
        return False  # not our build, or one that never started
    return not files.exists(origin)
