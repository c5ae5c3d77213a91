"""Finds programs on PATH and beside the active Python."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

from torchml_installer.detect.record import Place
from torchml_installer.support import files
from torchml_installer.support.python_paths import user_path
from torchml_installer.support.user_python import user_python


def python_program_folder() -> Path:
    """Where pip puts programs of the active Python (a virtual environment's ``bin``).

    Searched even if the environment is not activated: ``.venv/bin/torchml-install`` must find the
    cmake and ninja of ``.venv``.
    """
    return user_python().program_folder


def python_program_folders() -> tuple[Path, ...]:
    """That folder, and the one that pip falls back on (~/.local/bin)."""
    folders = [python_program_folder()]
    if user_python().has_user_site:
        folders.append(user_path("scripts"))
    return tuple(folders)


def conda_environment() -> Path | None:
    """The conda environment that the active Python belongs to, activated or not."""
    prefix = user_python().prefix
    return prefix if files.is_dir(prefix / "conda-meta") else None


def conda_environments() -> list[tuple[Path, str]]:
    """The activated one and the active Python's: (folder, how it was found), without duplicates."""
    found = {}
    if value := os.environ.get("CONDA_PREFIX"):
        found[Path(value)] = "CONDA_PREFIX"
    if (environment := conda_environment()) is not None:
        found.setdefault(environment, "the active Python")
    return list(found.items())


def search_path() -> list[tuple[Path, str]]:
    """The folders searched for programs: (folder, how it was found), without duplicates.

    On many systems /bin is a link to /usr/bin, and both are on PATH.
    """
    return _search_path(os.environ.get("PATH", ""), python_program_folders())


@cache
def _search_path(path: str, pythons: tuple[Path, ...]) -> list[tuple[Path, str]]:
    listed = [(Path(name), "PATH") for name in path.split(os.pathsep) if name]
    unique: dict[Path, tuple[Path, str]] = {}
    for folder, how in (*listed, *((folder, "the active Python") for folder in pythons)):
        unique.setdefault(files.resolved(folder), (folder, how))
    return list(unique.values())


def which_all(name: str) -> list[tuple[Path, str]]:
    """Every program of that name: (path, how it was found), the first choice first."""
    found = [(shutil.which(name, path=str(folder)), how) for folder, how in search_path()]
    return [(Path(program), how) for program, how in found if program]


def places(name: str) -> tuple[Place, ...]:
    """Every program of that name; the first one is used."""
    found = which_all(name)
    if not found:
        return (Place(Path(name), "PATH", "no such program"),)
    first, *others = (Place(program, how) for program, how in found)
    return (first, *(replace(place, refused="an earlier one is used") for place in others))


def which(name: str) -> tuple[Path, str] | None:
    """The first program of that name, or None."""
    return next(iter(which_all(name)), None)
