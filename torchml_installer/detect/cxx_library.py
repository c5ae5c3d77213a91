"""libstdc++: the symbol versions of the compiler's, and of the one that programs load."""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

from torchml_installer.support import files
from torchml_installer.support.process import quick_output

NAME = "libstdc++.so.6"
_VERSION = re.compile(rb"GLIBCXX_(3\.4(?:\.\d+)?)\0")
_FOLDERS = ("usr/lib/*-linux-gnu", "usr/lib64", "lib64", "lib/*-linux-gnu", "usr/lib")


def of_compiler(cxx: Path) -> Path | None:
    """The libstdc++ that the compiler links with; None if unknown (clang with libc++)."""
    text = quick_output([cxx, f"-print-file-name={NAME}"], timeout=3.0)
    path = Path(text or NAME)
    return path if path.is_absolute() and files.is_file(path) else None


def at_run_time(kim_prefix: Path | None) -> Path | None:
    """The libstdc++ that a simulator with that KIM-API loads: from LD_LIBRARY_PATH, from the conda
    environment if the KIM-API is in one, or the system's."""
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if folder and files.is_file(Path(folder) / NAME):
            return Path(folder) / NAME
    if kim_prefix is not None and files.is_dir(kim_prefix / "conda-meta"):
        own = kim_prefix / "lib" / NAME
        return own if files.is_file(own) else None
    for pattern in _FOLDERS:
        for place in files.matching(Path("/"), pattern):
            if files.is_file(place / NAME):
                return place / NAME
    return None


def newest_symbols(library: Path) -> tuple[int, ...]:
    """(3, 4, 30) for a library with GLIBCXX_3.4.30; () if it cannot be read."""
    try:
        with (
            library.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            found = [match[1].decode() for match in _VERSION.finditer(data)]
    except (OSError, ValueError):
        return ()
    return max((tuple(map(int, text.split("."))) for text in found), default=())
