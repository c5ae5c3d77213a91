"""Python's C headers, needed to compile the Python module torchml_driver."""

from __future__ import annotations

from pathlib import Path

from torchml_installer.detect.record import Finding, Place
from torchml_installer.support import files
from torchml_installer.support.python_paths import python_path
from torchml_installer.support.user_python import user_python


def detect() -> Finding:
    """Finds the active Python's. Debian and its derivatives package them separately."""
    python = user_python()
    folder = python_path("include")
    found = files.is_file(folder / "Python.h")
    version = ".".join(map(str, python.version[:2]))
    hint = f"run `sudo apt install python{version}-dev`"
    if python.base_prefix != Path("/usr"):
        hint = f"reinstall Python {version} in {python.base_prefix} with its development files"
    return Finding(
        name="python-headers",
        title="Python's headers",
        where=folder if found else None,
        how="the active Python" if found else "",
        version=python.release if found else "",
        looked=(Place(folder, "the active Python", "" if found else "no Python.h"),),
        hint=f"To build the Python module torchml_driver, {hint}.",
    )
