"""Enzyme: differentiates C++ for libdescriptor. Only who builds that from source needs it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from torchml_installer import files
from torchml_installer.detect.record import Finding, Place

_LIBRARIES = ("lib/ClangEnzyme-*.*", "lib/LLVMEnzyme-*.*", "lib64/*Enzyme-*.*", "*Enzyme-*.so")


def detect() -> Finding:
    """Looks at ENZYME_ROOT, Enzyme_ROOT, Enzyme_DIR, CONDA_PREFIX, /usr/local, and Debian's LLVM.

    version: of the LLVM that it is a plug-in for.
    """
    looked: list[Place] = []
    for root, how in _candidates():
        library = next((path for name in _LIBRARIES for path in files.matching(root, name)), None)
        if library is None:
            looked.append(Place(root, how, "no lib/ClangEnzyme-*.so"))
            continue
        looked.append(Place(root, how))
        match = re.search(r"Enzyme-(\d+)", library.name)
        return Finding(
            name="enzyme",
            title="Enzyme",
            where=library,
            how=how,
            version=f"LLVM {match[1]}" if match else "",
            looked=tuple(looked),
        )
    return Finding(
        name="enzyme",
        title="Enzyme",
        hint="Only for building libdescriptor from its sources; the driver does not need it.",
        looked=tuple(looked),
    )


def _candidates() -> Iterator[tuple[Path, str]]:
    for name in ("ENZYME_ROOT", "Enzyme_ROOT", "Enzyme_DIR", "CONDA_PREFIX"):
        if value := os.environ.get(name):
            folder = Path(value)
            # CMake's variable names the folder of the package's files.
            yield (folder.parents[2] if name == "Enzyme_DIR" and _is_deep(folder) else folder), name
    yield Path("/usr/local"), "/usr/local"
    for folder in files.matching(Path("/usr/lib"), "llvm-*"):
        yield folder, "the system"


def _is_deep(folder: Path) -> bool:
    return len(folder.parents) > 3 and folder.parent.name == "cmake"
