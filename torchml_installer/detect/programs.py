"""Looking for programs on PATH and beside the active Python."""

from __future__ import annotations

import os
import shutil
import site
import sys
import sysconfig
from pathlib import Path

from torchml_installer import files


def python_program_folder() -> Path:
    """Where pip puts programs of the active Python (a virtual environment's ``bin``).

    It is searched even when the environment was not activated, so that
    ``.venv/bin/torchml-install`` finds the cmake and ninja of ``.venv``.
    """
    return Path(sys.executable).parent


def python_program_folders() -> tuple[Path, ...]:
    """That folder, and the one where pip puts programs if it may not write there (~/.local/bin)."""
    folders = [python_program_folder()]
    if site.ENABLE_USER_SITE:
        folders.append(Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))))
    return tuple(folders)


def conda_environment() -> Path | None:
    """The conda environment that the active Python belongs to, activated or not."""
    prefix = Path(sys.prefix)
    return prefix if files.is_dir(prefix / "conda-meta") else None


def which_all(name: str) -> list[tuple[Path, str]]:
    """Every program of that name: (path, how it was found), first choice first."""
    found: list[tuple[Path, str]] = []
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and (program := shutil.which(name, path=folder)):
            found.append((Path(program), "PATH"))
    for place in python_program_folders():
        if program := shutil.which(name, path=str(place)):
            found.append((Path(program), "the active Python"))
    unique: dict[Path, str] = {}
    for path, how in found:
        unique.setdefault(path, how)
    return list(unique.items())


def which(name: str) -> tuple[Path, str] | None:
    """The first program of that name, or None."""
    return next(iter(which_all(name)), None)
