"""Small libraries that a compiler makes, for what reads the tables of real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: As it is here: the PATH of tests may lead nowhere.
_ENVIRONMENT = dict(os.environ)
_CXX = shutil.which("c++")
needs_compiler = pytest.mark.skipif(
    _CXX is None or sys.platform != "linux", reason="needs a C++ compiler, on Linux"
)


def compiled(library: Path, source: str, *links: str) -> Path:
    """A shared library of its own: nothing of the system's is in it."""
    library.parent.mkdir(parents=True, exist_ok=True)
    command = [str(_CXX), "-shared", "-fPIC", "-nostdlib", "-x", "c++", "-", "-o", str(library)]
    command += ["-x", "none", "-Wl,--hash-style=gnu", *links]
    subprocess.run(command, input=source, env=_ENVIRONMENT, text=True, check=True)
    return library
