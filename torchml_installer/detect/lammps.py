"""LAMMPS with its KIM package.

``lmp -h`` would say what is built in, but takes half a second to start MPI; the libraries' own
text says the same at once.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from torchml_installer.detect.programs import which
from torchml_installer.detect.record import Finding
from torchml_installer.errors import MissingForQuickstartError, TorchMLError

_HINT = "`sudo apt install lammps` or `conda install -c conda-forge lammps`, to run LAMMPS."
_DATE = re.compile(rb"\x00(\d{1,2} [A-Z][a-z]{2} 20\d\d)\x00")
_LIBRARY_NAME = re.compile(rb"liblammps[A-Za-z0-9_.-]*\.(?:so(?:\.\d+)*|dylib)")


def detect() -> Finding:
    found = which("lmp") or which("lmp_mpi") or which("lmp_serial")
    if found is None:
        return Finding(name="lammps", title="LAMMPS with KIM", hint=_HINT)
    program, how = found
    has_kim, version = _look_into(program.resolve())
    problem: TorchMLError | None = None
    if not has_kim:
        problem = MissingForQuickstartError(
            f"The LAMMPS {program} was built without its KIM package.",
            "Install one with it: `sudo apt install lammps` or "
            "`conda install -c conda-forge lammps`.",
        )
    return Finding(
        name="lammps",
        title="LAMMPS with KIM",
        where=program,
        how=how,
        version=version,
        problem=problem,
        hint=_HINT,
    )


def _look_into(program: Path) -> tuple[bool, str]:
    """(linked with the KIM-API, version) of a program or of the LAMMPS library it loads."""
    has_kim, version, library_names = _scan(program)
    if has_kim:
        return has_kim, version
    prefix = program.parent.parent
    for name in library_names:
        for pattern in ("lib", "lib64", "lib/*-linux-gnu*"):
            for folder in sorted(prefix.glob(pattern)):
                if (folder / name).is_file():
                    has_kim, inner_version, _names = _scan(folder / name)
                    return has_kim, inner_version or version
    return False, version


def _scan(binary: Path) -> tuple[bool, str, list[str]]:
    try:
        with (
            binary.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            has_kim = data.find(b"libkim-api.") >= 0
            date = _DATE.search(data)
            names = {match.decode() for match in _LIBRARY_NAME.findall(data)}
            return has_kim, date[1].decode() if date else "", sorted(names)
    except (OSError, ValueError):
        return False, "", []
