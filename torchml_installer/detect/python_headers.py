"""Python's own C headers, which the Python module torchml_driver is compiled with."""

from __future__ import annotations

import platform
import sys

from torchml_installer import files
from torchml_installer.detect.record import Finding, Place
from torchml_installer.python_paths import python_path


def detect() -> Finding:
    """Of the active Python. Debian and its relatives pack them apart from Python itself."""
    folder = python_path("include")
    found = files.is_file(folder / "Python.h")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    hint = f"`sudo apt install python{version}-dev`"
    if sys.base_prefix != "/usr":
        hint = f"Reinstall Python {version} in {sys.base_prefix} with its development files"
    return Finding(
        name="python-headers",
        title="Python's headers",
        where=folder if found else None,
        how="the active Python" if found else "",
        version=platform.python_version() if found else "",
        looked=(Place(folder, "the active Python", "" if found else "no Python.h"),),
        hint=f"{hint} (to build the Python module torchml_driver).",
    )
