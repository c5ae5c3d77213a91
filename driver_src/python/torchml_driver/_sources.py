"""Keeps track of the files that an object was made from, so that a pickle never loads others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ._core import Error


class LoadedFiles:
    """The state of files just before they are loaded."""

    def __init__(self, files: Iterable[Path]):
        self._stamps = {Path(file).absolute(): _stamp(file) for file in files}

    def only(self, belongs: Callable[[Path], bool]) -> LoadedFiles:
        """The files for which ``belongs`` is true."""
        chosen = LoadedFiles(())
        chosen._stamps = {file: stamp for file, stamp in self._stamps.items() if belongs(file)}
        return chosen

    def digests(self, whole: Path) -> dict[str, str]:
        """The SHA-256 of each file's contents, by file name.

        Raises:
            Error: if a file has changed since it was loaded.
        """
        for file, stamp in self._stamps.items():
            if stamp is None or _stamp(file) != stamp:
                raise Error(
                    f"{whole} cannot be pickled: a pickle holds the paths of the files, and {file} "
                    "has changed since it was loaded. Load it again."
                )
        return {file.name: _digest(file) for file in self._stamps}


def require_same(whole: Path, files: Iterable[Path], digests: Mapping[str, str]) -> None:
    """Raises Error unless the pickled files exist and have the same contents."""
    by_name = {file.name: file for file in files}
    for name, digest in digests.items():
        if name not in by_name:
            state = "no longer exists"
        elif _digest(by_name[name]) != digest:
            state = "has changed since"
        else:
            continue
        raise Error(
            f"{whole} was pickled, and its file {name} {state}: a pickle holds the paths of the "
            "files, not their contents. Load the model again, or restore the file."
        )


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise Error(
            f"{file} cannot be read: {error.strerror}. Check the path and its permissions."
        ) from error
    return digest.hexdigest()
