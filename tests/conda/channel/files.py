"""Helpers for laying out files that several kinds of packages use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conda.channel.package import ChannelError


def files_in(folder: Path) -> Iterator[Path]:
    """Every file and symbolic link below a folder; links to folders count as links."""
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        yield from (here / name for name in names)
        yield from (here / name for name in folders if (here / name).is_symlink())


def copy(source: Path, target: Path) -> None:
    """Copies a file, or a symbolic link as a link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def is_elf(path: Path) -> bool:
    """Whether a file is a program or a shared library (not an object file)."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(18)
    return head[:4] == b"\x7fELF" and head[16] in (2, 3)


def replace_in_texts(folder: Path, old: str, new: str) -> None:
    """Replaces a text in every text file below the folder."""
    needle, replacement = old.encode(), new.encode()
    for path in files_in(folder):
        if path.is_symlink():
            continue
        content = path.read_bytes()
        if needle in content and b"\0" not in content:
            path.write_bytes(content.replace(needle, replacement))


def set_run_paths(prefix: Path, patchelf: Path) -> None:
    """Makes every program and library below a prefix search for libraries in the prefix's lib/."""
    for path in files_in(prefix):
        if is_elf(path):
            relative = os.path.relpath(prefix / "lib", path.parent)
            run_path = "$ORIGIN" if relative == "." else f"$ORIGIN/{relative}"
            command = [str(patchelf), "--set-rpath", run_path, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise ChannelError(f"patchelf could not change {path}: {done.stderr.strip()}")


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
