"""The Python package of torch: where it is, and its version, without importing it."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path


def torch_folder() -> Path | None:
    """The folder of the Python package torch, imported or not."""
    if (torch := sys.modules.get("torch")) is not None:
        file = getattr(torch, "__file__", None)
        return Path(file).parent if file else None
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def version_of(package: Path) -> str:
    """The version of a Python package of torch; "" if unknown."""
    try:
        text = (package / "version.py").read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"^__version__\b[^=\n]*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    return found[1] if found else ""


def series(version: str) -> list[str]:
    """["2", "13"] of "2.13.0": torch keeps its interface within a series."""
    return version.split(".")[:2]
