"""Puts a finished installation in the place of the one before, or leaves everything as it was."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path


def put_in_place(stage: Path, root: Path) -> None:
    """Replaces the folder ``root`` by a copy of ``stage``.

    They can lie on different file systems: copies beside, then renames.
    """
    prefix = f".new-{root.name}-"
    for leftover in root.parent.glob(f"{prefix}*"):
        remove(leftover)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=root.parent) as beside:
        fresh, replaced = Path(beside) / "fresh", Path(beside) / "replaced"
        shutil.copytree(stage, fresh, symlinks=True)
        try:
            if root.exists():
                root.rename(replaced)
            fresh.rename(root)
        except BaseException:
            if replaced.exists() and not root.exists():
                replaced.rename(root)
            raise


def remove(folder: Path) -> None:
    """Removes what it can of a folder."""
    shutil.rmtree(folder, ignore_errors=True)
