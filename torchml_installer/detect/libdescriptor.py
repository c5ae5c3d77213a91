"""libdescriptor: optional, see ``known_libdescriptor.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torchml_installer.detect.known_extensions import read_record
from torchml_installer.detect.known_libdescriptor import (
    OPTION,
    TITLE,
    VARIABLE,
    default_prefix,
    library_in,
)
from torchml_installer.detect.programs import conda_environments
from torchml_installer.detect.record import Finding, Place
from torchml_installer.errors import LibdescriptorUnusableError
from torchml_installer.support import receipts

_INSTALL = "install a working one with `torchml-install deps --with libdescriptor`"

#: How a user names a libdescriptor → how to undo that.
_UNDO = {OPTION: f"Leave out {OPTION}", VARIABLE: f"Unset {VARIABLE}"}


def detect(explicit: Path | None = None, environment: Mapping[str, str] | None = None) -> Finding:
    """Searches LIBDESCRIPTOR_ROOT, CONDA_PREFIX, the active Python's conda environment, and where
    ``deps`` puts it.

    Tests the library with a value and a derivative, in a separate process.

    If the variable is set, only its folder counts, as in the driver's build. explicit: the folder
    that ``driver``'s option names. environment: variables for that process, in addition to those of
    this one.
    """
    looked: list[Place] = []
    if explicit is not None:
        places = [(explicit.absolute(), OPTION)]
    elif value := os.environ.get(VARIABLE):
        places = [(Path(value).absolute(), VARIABLE)]
    else:
        looked.append(Place(Path(f"${VARIABLE}"), VARIABLE, "not set"))
        ours = dict.fromkeys((default_prefix() / TITLE, *receipts.library_roots(TITLE)))
        places = [*conda_environments(), *((root, "torchml-install deps") for root in ours)]
    for root, how in places:
        library = library_in(root)
        if library is not None:
            found = _judged(root, how, library, environment)
            looked.append(Place(root, how, "" if found.problem is None else found.problem.message))
            return replace(found, looked=tuple(looked))
        looked.append(Place(root, how, "no lib/libdescriptor.so"))
        if how in _UNDO:
            problem = LibdescriptorUnusableError(
                f"{how} is {root}, which has no lib/libdescriptor.so.",
                f"{_UNDO[how]}, or {_INSTALL}.",
            )
            return replace(_finding(root, how, problem=problem), looked=tuple(looked))
    return replace(_finding(), looked=tuple(looked))


def problem_of(library: Path, environment: Mapping[str, str] | None = None) -> str | None:
    """Why the library cannot be used; None if it computes a value and a derivative correctly.

    environment: as in ``detect``.
    """
    command = [sys.executable, "-m", "torchml_installer.detect.libdescriptor_probe", str(library)]
    folder = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10.0,
            env={**os.environ, **(environment or {}), "PYTHONPATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it did not answer within ten seconds"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"it crashed (signal {-done.returncode})"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def _judged(root: Path, how: str, library: Path, environment: Mapping[str, str] | None) -> Finding:
    problem = problem_of(library, environment)
    version = read_record(root).get("version", "")
    if problem is None:
        return _finding(root, how, version)
    remedy = (
        f"{_UNDO[how]}, or {_INSTALL}." if how in _UNDO else f"{_INSTALL[0].upper()}{_INSTALL[1:]}."
    )
    return _finding(
        root,
        how,
        version,
        LibdescriptorUnusableError(f"{library} cannot be used: {problem}.", remedy),
    )


def _finding(
    where: Path | None = None,
    how: str = "",
    version: str = "",
    problem: LibdescriptorUnusableError | None = None,
) -> Finding:
    return Finding(
        name="libdescriptor",
        title="libdescriptor",
        where=where,
        how=how,
        version=version,
        problem=problem,
        hint="Not needed: the driver has its own descriptors. Install the original with "
        "`torchml-install deps --with libdescriptor`.",
    )
