"""Puts an HTML report into its place, which is tried out before a model is run for it."""

from __future__ import annotations

import contextlib
import errno
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from torchml_installer.errors import NotPermittedError, OutputExistsError
from torchml_installer.support import disk, files

_REMEDY = "Name a file in a folder that you can write to, for example --html report.html"
_BEGINNINGS = (b"<!doctype html", b"<html")


def command() -> str:
    """What the user typed."""
    return shlex.join(["torchml-install", *sys.argv[1:]])


@contextlib.contextmanager
def place_for(path: Path) -> Iterator[Callable[[str], None]]:
    """What writes the report. The file appears whole, or stays as it was.

    Raises OutputExistsError if there is a folder, or a file that is not an HTML page;
    NotPermittedError if its folder is missing or not writable; and, when written, DiskFullError.
    """
    place = files.resolved(path)  # a link is kept, and leads to the new file
    if files.is_dir(place):
        raise OutputExistsError(f"{path} is a folder.", "Name a file: --html report.html")
    if files.waits(place):  # /dev/stdout
        yield lambda text: _write(path, place, text)
        return
    if files.is_file(place) and not _is_page(place):
        raise OutputExistsError(
            f"{path} already exists, and is not an HTML page.", "Name another file with --html."
        )
    if not files.exists(place.parent):
        raise NotPermittedError(
            f"Cannot write {path}: the folder {place.parent} does not exist.",
            "Create the folder first, or name a file in another one with --html.",
        )
    with contextlib.ExitStack() as stack:
        with _explained(path):
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=f".{place.name[:100]}-", dir=place.parent)
            )

        def write(text: str) -> None:
            partial = Path(folder, "report.html")
            _write(path, partial, text)
            with _explained(path):
                partial.replace(place)

        yield write


def _write(path: Path, place: Path, text: str) -> None:
    with _explained(path):
        place.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk.full(f"Cannot write {path}", said=str(error), place=path) from error
        raise NotPermittedError(f"Cannot write {path}: {error.strerror}.", _REMEDY) from error


def _is_page(path: Path) -> bool:
    """An empty file is one, too: mktemp makes such."""
    try:
        start = files.beginning(path, 1024).strip().lower()
    except OSError:
        return False
    return not start or start.startswith(_BEGINNINGS)
