"""The channel made of this machine's packages, and the sources of our packages.

All tests that build our recipes without a network use these: with other options, the next test
would discard the channel and everything built with it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import KEPT, ROOT, run
from tests.support.keeping import in_use

#: The files that determine the contents of our packages; the recipes' source is the whole checkout.
SOURCES = (
    "LICENSE",
    "README.md",
    "ci/conda_packages.py",
    "driver_src",
    "env_templates",
    "examples",
    "pyproject.toml",
    "recipes",
    "tests/data/kliff_descriptor",
    "torchml_installer",
)
SYSTEM_PYTHON = (
    "the system's own Python cannot be made into a package: Debian's looks for modules in "
    "dist-packages, where no conda environment has any. With one in a separate folder (pyenv, "
    "python.org) this runs: make test PYTHON=/path/to/python3.12"
)
#: The minor versions of Python with recipes, by the folders that installers use.
_PYTHON = re.compile(r"3\.(1[0-4])(\.\d+)?")


def other_python(
    base: Path = Path(sys.base_prefix), minor: int = sys.version_info.minor
) -> tuple[str, Path] | None:
    """Another Python beside the one in a folder, if any: ("3.12", its program)."""
    found = []
    for folder in base.parent.iterdir():
        version = _PYTHON.fullmatch(folder.name)
        program = folder / "bin/python"
        if version is not None and int(version[1]) != minor and program.exists():
            found.append((abs(int(version[1]) - minor), -int(version[1]), program))
    if not found:
        return None
    _distance, other, program = min(found)
    return f"3.{-other}", program


def offline_folder() -> Path:
    """A folder with channel/ and variants.yaml, made once and kept; without it, skips the test."""
    if Path(sys.base_prefix) == Path("/usr"):
        pytest.skip(SYSTEM_PYTHON)
    if shutil.which("mpichversion") is None:
        pytest.skip("the channel's MPICH is Debian's: apt-get install libmpich-dev mpich")
    folder = KEPT / "conda"
    other = other_python()
    options = ["--also-python", other[1]] if other else []
    _make_channel(folder, *options)
    return folder


def installer_folder() -> Path:
    """The same with torchml-installer's needs, made once and kept; without it, skips the test."""
    if Path(sys.base_prefix) == Path("/usr"):
        pytest.skip(SYSTEM_PYTHON)
    folder = KEPT / "conda-installer"
    _make_channel(folder, "--for-installer")
    return folder


def _make_channel(folder: Path, *options: str | Path) -> None:
    """Makes the channel unless it exists, and keeps other runs from replacing it."""
    command = [sys.executable, "-m", "tests.conda.channel", folder, *options]

    def is_right() -> bool:
        words = [str(word) for word in (*command, "--is-there")]
        return subprocess.run(words, cwd=ROOT, capture_output=True, check=False).returncode == 0

    in_use(folder, is_right, lambda: run(command, cwd=ROOT))


def sources_digest(channel: Path, root: Path = ROOT) -> str:
    """A digest of our packages' sources. channel: the folder with the channel's stamp."""
    digest = hashlib.sha256((channel / "stamp").read_bytes())
    for name in SOURCES:
        source = root / name
        for path in [source] if source.is_file() else sorted(source.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
