"""LAMMPS with its KIM package.

``lmp -h`` would say what is built in, but takes half a second to start MPI; the libraries' own
text says the same at once.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path

from torchml_installer import files
from torchml_installer.detect.mpi import library_family
from torchml_installer.detect.programs import which_all
from torchml_installer.detect.record import Finding, Place
from torchml_installer.errors import MissingForQuickstartError, TorchMLError

_HINT = "`sudo apt install lammps` or `conda install -c conda-forge lammps`, to run LAMMPS."
_DATE = re.compile(rb"\x00(\d{1,2} [A-Z][a-z]{2} 20\d\d)\x00")
_LIBRARY_NAME = re.compile(rb"liblammps[A-Za-z0-9_.-]*\.(?:so(?:\.\d+)*|dylib)")


def detect() -> Finding:
    """The first of lmp, lmp_mpi and lmp_serial on PATH counts, with KIM or without."""
    found = [(name, which_all(name)) for name in ("lmp", "lmp_mpi", "lmp_serial")]
    looked = [
        Place(program, how, "one before it counts")
        for _, all_of in found
        for program, how in all_of
    ]
    missing = tuple(
        Place(Path(name), "PATH", "no such program") for name, all_of in found if not all_of
    )
    if not looked:
        return Finding(name="lammps", title="LAMMPS with KIM", hint=_HINT, looked=missing)
    program, how = looked[0].where, looked[0].how
    has_kim, version, mpi = _look_into(program.resolve())
    problem: TorchMLError | None = None
    if not has_kim:
        problem = MissingForQuickstartError(
            f"The LAMMPS {program} was built without its KIM package.",
            "Install one with it: `sudo apt install lammps` or "
            "`conda install -c conda-forge lammps`.",
        )
    looked[0] = Place(program, how, "" if problem is None else problem.message)
    return Finding(
        name="lammps",
        title="LAMMPS with KIM",
        where=program,
        how=how,
        version=version,
        problem=problem,
        hint=_HINT,
        details={"MPI": mpi} if mpi else {},
        looked=(*looked, *missing),
    )


def _look_into(program: Path) -> tuple[bool, str, str]:
    """(linked with the KIM-API, version, MPI family) of a program or the library it loads."""
    seen = _scan(program)
    if seen.has_kim:
        return seen.has_kim, seen.version, seen.mpi
    prefix = program.parent.parent
    for name in seen.libraries:
        for pattern in ("lib", "lib64", "lib/*-linux-gnu*"):
            for folder in files.matching(prefix, pattern):
                if files.is_file(folder / name):
                    inner = _scan(folder / name)
                    mpi = inner.mpi or seen.mpi
                    return inner.has_kim, inner.version or seen.version, mpi
    return False, seen.version, seen.mpi


@dataclass(frozen=True)
class _Seen:
    has_kim: bool = False
    version: str = ""
    mpi: str = ""
    libraries: tuple[str, ...] = ()


def _scan(binary: Path) -> _Seen:
    try:
        with (
            binary.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            date = _DATE.search(data)
            names = {match.decode() for match in _LIBRARY_NAME.findall(data)}
            return _Seen(
                data.find(b"libkim-api.") >= 0,
                date[1].decode() if date else "",
                library_family(data),
                tuple(sorted(names)),
            )
    except (OSError, ValueError):
        return _Seen()
