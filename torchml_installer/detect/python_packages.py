"""Python packages of the active Python, found without importing them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shlex
import sys
from pathlib import Path

from torchml_installer import files
from torchml_installer.detect.record import Finding

#: Package → what it is good for.
PACKAGES = {
    "numpy": "for the Python module torchml_driver",
    "vesin": "for the Python module torchml_driver",
    "pybind11": "to build the Python module torchml_driver",
    "ase": "to run models in ASE",
    "kimpy": "to run KIM models in ASE; compiles for some minutes",
}


def detect(name: str) -> Finding:
    """One of PACKAGES."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        use = PACKAGES[name]
        return Finding(
            name=name,
            title=name,
            hint=f"`{shlex.quote(sys.executable)} -m pip install {name}` ({use}).",
        )
    return Finding(
        name=name,
        title=name,
        where=Path(str(distribution.locate_file(name))),
        how="the active Python",
        version=distribution.version,
    )


def pybind11_cmake_folder() -> Path | None:
    """What CMake wants as ``pybind11_DIR``, without importing pybind11."""
    spec = importlib.util.find_spec("pybind11")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "share/cmake/pybind11"
    return folder if files.is_dir(folder) else None
