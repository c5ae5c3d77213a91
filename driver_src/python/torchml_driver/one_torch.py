"""Explains failures in processes with another torch than the one that the engine was built for.

A process loads one library of a name: the first to request libtorch_cpu.so decides which, and all
others get the same, whether or not it suits them.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from . import built_for
from .torch_package import series, torch_folder, version_of

ADVICE = (
    "Use one torch: run the Python with the torch that the module was built for, or build the "
    "module for this one with `torchml-install driver`. `torchml-install doctor` shows which is "
    "which."
)


def explained(problem: ImportError) -> ImportError:
    """The error from importing the engine, with the torches involved."""
    wanted = f"torch {built_for.VERSION} in {_own_folder()}"
    said = str(problem).rstrip(".")
    here = _loaded_libraries()
    if here:
        found = " and ".join(_described(library) for library in here)
        text = (
            f"The engine of torchml_driver was built for {wanted}, but this process has loaded "
            f"{found} ({said}). {ADVICE}"
        )
    elif "libtorch" in said or "libc10" in said:
        text = (
            f"The engine of torchml_driver was built for {wanted}, which cannot be loaded "
            f"({said}). Install that torch again, or build the module for another one with "
            "`torchml-install driver`."
        )
    else:
        return problem
    return ImportError(text, name=problem.name, path=problem.path)


def warn_of_another(version: str, folder: Path) -> None:
    """Warns if ``import torch`` imports, or has imported, another release of torch.

    version, folder: of the libtorch that this process computes with.
    """
    if (text := another(version, folder)) is not None:
        warnings.warn(f"{text} {ADVICE}", RuntimeWarning, stacklevel=3)


def another(version: str, folder: Path) -> str | None:
    """A sentence that says so if ``import torch`` imports another release; None if it does not."""
    package = torch_folder()
    if package is None or not (other := version_of(package)) or series(other) == series(version):
        return None
    return (
        f"torchml_driver computes with torch {version} in {folder}, but `import torch` imports "
        f"torch {other} in {package}. A process that uses both fails or crashes."
    )


def _own_folder() -> Path:
    """The folder in which the module looks for libtorch."""
    first = built_for.FOLDER.partition(";")[0].partition(":")[0]
    return Path(os.path.normpath(first.replace("$ORIGIN", str(Path(__file__).parent))))


def _loaded_libraries() -> list[Path]:
    try:
        lines = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = [Path(line.split(maxsplit=5)[5]) for line in lines if "/libtorch_cpu.so" in line]
    return list(dict.fromkeys(paths))


def _described(library: Path) -> str:
    folder = library.parent
    version = version_of(folder.parent)
    return f"torch {version} in {folder}" if version else f"a torch in {folder}"
