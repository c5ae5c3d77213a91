"""Finds the file that Linux's loader (ld.so(8)) would load, without starting the program."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from torchml_installer.detect import elf
from torchml_installer.support import files
from torchml_installer.support.process import quick_output

_DEFAULT = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
_LDCONFIG = "/sbin/ldconfig"


def library(name: str, wanted_by: Path) -> Path | None:
    """The file that the loader finds for a library name in a program or library, if any."""
    facts = elf.facts(wanted_by)
    run_path = facts.run_path if facts else ()
    first = facts is not None and facts.run_path_first
    folders = [*run_path, *library_path()] if first else [*library_path(), *run_path]
    return _found(name, folders)


def library_path() -> list[Path]:
    """The folders of LD_LIBRARY_PATH."""
    value = os.environ.get("LD_LIBRARY_PATH", "")
    return [Path(part) for part in re.split("[:;]", value) if part]


def preloaded() -> Iterator[Path]:
    """The existing libraries that LD_PRELOAD loads into every program."""
    for part in re.split(r"[:\s]+", os.environ.get("LD_PRELOAD", "")):
        if not part:
            continue
        path = Path(part) if "/" in part else _found(part, library_path())
        if path is not None and files.is_file(path):
            yield path


def _found(name: str, folders: list[Path]) -> Path | None:
    for folder in folders:
        if files.is_file(folder / name):
            return folder / name
    if (known := _system_libraries().get(name)) is not None:
        return known
    return next((Path(top, name) for top in _DEFAULT if files.is_file(Path(top, name))), None)


@cache
def _system_libraries() -> dict[str, Path]:
    """The loader's cache, from ldconfig: the first file for each name."""
    program = shutil.which("ldconfig") or _LDCONFIG
    text = quick_output([Path(program), "-p"], timeout=3) if Path(program).exists() else None
    found: dict[str, Path] = {}
    for name, path in re.findall(r"^\s+(\S+) \(.*\) => (/.*)$", text or "", re.MULTILINE):
        found.setdefault(name, Path(path))
    return found
