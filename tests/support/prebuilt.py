"""The wheel of prebuilt drivers, made of this tree for the tests' torch, and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ci.prebuilt import root as roots
from tests.support import KEPT, ROOT, run
from tests.support.keeping import alone_until_the_end, kept


def _digest(*folders: Path) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def prebuilt_wheel() -> Path:
    """The wheel, for this Python's torch. Skips the test if it cannot be made here."""
    if reason := roots.obstacle():
        pytest.skip(f"prebuilt drivers cannot be made here: {reason}")
    release = version("torch").partition("+")[0]
    root = KEPT / "prebuilt-root"
    key = _digest(ROOT / "driver_src", ROOT / "ci/prebuilt")

    def make(folder: Path) -> None:
        alone_until_the_end(root)
        command = [sys.executable, "-m", "ci.prebuilt", "--output", folder, "--root", root]
        run([*map(str, command), "--torch", release], cwd=ROOT)

    folder = kept(KEPT / f"prebuilt-{release}-{key}", make)
    (wheel,) = folder.glob("*.whl")
    return wheel


def give_kim(root: Path) -> None:
    """Copies Debian's KIM-API into another root, but not the compilers that it requires."""
    listed = subprocess.run(
        ["dpkg", "-L", "libkim-api2", "libkim-api-dev"], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("Debian's libkim-api-dev is not installed")
    for line in listed.stdout.splitlines():
        source = Path(line)
        target = root / line.lstrip("/")
        if source.is_dir() and not source.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
        elif source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_symlink() and not target.exists():
                shutil.copy2(source, target, follow_symlinks=False)


def wheelhouse(folder: Path) -> Path:
    """A folder with the wheel, and with what its Python module requires."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = prebuilt_wheel()
    os.link(wheel, folder / wheel.name)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
    run([*command, "numpy", "vesin"])
    return folder
