"""Enzyme differentiates C++ code; needed only to build libdescriptor from source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torchml_installer.detect.record import Finding, Place, first_with, named_by
from torchml_installer.support import files

_LIBRARIES = ("lib/ClangEnzyme-*.*", "lib/LLVMEnzyme-*.*", "lib64/*Enzyme-*.*", "*Enzyme-*.so")


def detect() -> Finding:
    """Searches ENZYME_ROOT, Enzyme_ROOT, Enzyme_DIR, CONDA_PREFIX, /usr/local, and Debian's LLVM.

    version: of the LLVM that it is a plug-in for.
    """
    found, looked = first_with(_candidates(), _lacks)
    library = _library(found.where) if found else None
    if found is None or library is None:
        return Finding(
            name="enzyme",
            title="Enzyme",
            hint="Needed only to build libdescriptor from source; the driver does not need it.",
            looked=looked,
        )
    match = re.search(r"Enzyme-(\d+)", library.name)
    return Finding(
        name="enzyme",
        title="Enzyme",
        where=library,
        how=found.how,
        version=f"LLVM {match[1]}" if match else "",
        looked=looked,
    )


def _library(root: Path) -> Path | None:
    return next((path for name in _LIBRARIES for path in files.matching(root, name)), None)


def _lacks(root: Path) -> str:
    return "" if _library(root) else "no lib/ClangEnzyme-*.so"


def _candidates() -> Iterator[Place]:
    for name in ("ENZYME_ROOT", "Enzyme_ROOT", "Enzyme_DIR", "CONDA_PREFIX"):
        place = named_by(name)
        # CMake's variable names the folder of the package's files.
        if name == "Enzyme_DIR" and _is_deep(place.where):
            place = replace(place, where=place.where.parents[2])
        yield place
    yield Place(Path("/usr/local"), "/usr/local")
    for folder in files.matching(Path("/usr/lib"), "llvm-*"):
        yield Place(folder, "the system")


def _is_deep(folder: Path) -> bool:
    return len(folder.parents) > 3 and folder.parent.name == "cmake"
