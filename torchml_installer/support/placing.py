"""Replaces an installation by a complete new one, or leaves everything unchanged."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torchml_installer.errors import NotPermittedError, OutputExistsError
from torchml_installer.support import build_folder, disk, files

#: ENOENT: some kernel file systems (/proc) cannot create folders.
_REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOENT,
)


@contextlib.contextmanager
def writing_to(prefix: Path) -> Iterator[None]:
    """Names the option that moves a prefix if it is not writable."""
    try:
        yield
    except shutil.Error:
        raise  # from a copy, with several reasons: the caller sorts them
    except OSError as error:
        place = Path(str(error.filename2 or error.filename or prefix))
        if error.errno in _REFUSED:
            raise NotPermittedError(
                f"Cannot write to {place}: {error.strerror}.",
                "Check the owner and permissions of that path, or name another place with --prefix "
                "DIR.",
            ) from error
        raise


def require_room(folder: Path, needed: int, what: str) -> None:
    """Raises DiskFullError, before anything starts, if fewer bytes are free than needed."""
    if disk.free(folder) < needed:
        raise disk.full(what, place=folder, needed=needed)


@contextlib.contextmanager
def partial_beside(path: Path) -> Iterator[Path]:
    """A folder for fetching the future file ``path``, locked for this process.

    Removes it afterwards with its contents, and leftovers of interrupted runs.
    """
    prefix = f".partial-{path.name}-"
    with build_folder.locked(path, "that downloads this"):
        for leftover in path.parent.glob(f"{prefix}*"):
            remove(leftover)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as partial:
            yield Path(partial)


def require_replaceable(root: Path, *, ours: bool, force: bool, instead: str = "") -> None:
    """Raises OutputExistsError for a folder that ``put_in_place`` must not replace.

    ours: whether this program created it. instead: a sentence with an alternative.
    """
    if files.exists(root) and not ours and not force:
        raise OutputExistsError(
            f"{root} already exists, and torchml-install did not create it.",
            f"Replace it with --force, or name another --prefix. {instead}".rstrip(),
        )


def put_in_place(stage: Path, root: Path) -> None:
    """Replaces the folder ``root`` by ``stage``.

    They may be on different file systems: first moves ``stage`` beside ``root``, then renames it.
    """
    prefix = f".new-{root.name}-"
    for leftover in root.parent.glob(f"{prefix}*"):
        remove(leftover)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=root.parent) as beside:
        fresh, replaced = Path(beside) / "fresh", Path(beside) / "replaced"
        try:
            stage.rename(fresh)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copytree(stage, fresh, symlinks=True)
        try:
            if root.exists():
                root.rename(replaced)
            fresh.rename(root)
        except BaseException:
            if replaced.exists() and not root.exists():
                replaced.rename(root)
            raise


def remove(folder: Path) -> None:
    """Removes a folder as far as possible."""
    shutil.rmtree(folder, ignore_errors=True)
