"""MPI, which runs LAMMPS on several processes. Programs work only with their own MPI family."""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

from torchml_installer.detect.programs import which, which_all
from torchml_installer.detect.record import Finding, Place
from torchml_installer.support import files
from torchml_installer.support.process import quick_output

_HINT = "To run LAMMPS in parallel: `sudo apt install openmpi-bin libopenmpi-dev`."
_WRAPPERS = ("mpicxx", "mpic++", "mpiicpx", "mpiicpc")
_MPICH = re.compile(
    rb"libmpich(?:_\w+)?\.so|libmpi(?:cxx|fort)?\.so\.12\b"
    rb"|libmpi_(?:cray|gnu|intel|nvidia|amd|aocc|pgi)(?:_\d+)*\.so"
)


def detect() -> Finding:
    """The first mpirun or mpiexec on PATH, and every compiler wrapper, each with its family."""
    looked: list[Place] = []
    found: tuple[Path, str, str] | None = None
    for name in ("mpirun", "mpiexec"):
        for program, how in which_all(name):
            if found is not None:
                looked.append(Place(program, how, "an earlier one is used"))
                continue
            text = quick_output([program, "--version"], timeout=3.0)
            looked.append(Place(program, how, "" if text else "does not run"))
            if text:
                found = (program, how, text)
        if not any(place.where.name == name for place in looked):
            looked.append(Place(Path(name), "PATH", "no such program"))
    wrappers = _compiler_wrappers(looked)
    details = {"compiler wrapper": "; ".join(wrappers)} if wrappers else {}
    if found is None:
        return Finding("mpi", "MPI", hint=_HINT, details=details, looked=tuple(looked))
    program, how, text = found
    match = re.search(r"\d+(\.\d+)+", text)
    version = f"{launcher_family(text)} {match[0] if match else ''}".strip()
    return Finding(
        name="mpi",
        title="MPI",
        where=program,
        how=how,
        version=version,
        hint=_HINT,
        details=details,
        looked=tuple(looked),
    )


def _compiler_wrappers(looked: list[Place]) -> list[str]:
    """Each wrapper once, with its family; adds the searched places to ``looked``."""
    found: dict[Path, str] = {}
    for name in _WRAPPERS:
        programs = which_all(name)
        if not programs:
            looked.append(Place(Path(name), "PATH", "no such program"))
        for program, how in programs:
            # Open MPI has one program under many names.
            again = files.resolved(program) in found
            looked.append(Place(program, how, "the same as an earlier one" if again else ""))
            if not again:
                text = f"{wrapper_family(program)} {program}".strip()
                found[files.resolved(program)] = text
    # Cray's compilers get MPI from a module, without a wrapper.
    cray = which("CC") if "CRAYPE_VERSION" in os.environ else None
    if cray is not None:
        loaded = "CRAY_MPICH_VERSION" in os.environ
        looked.append(Place(*cray, "" if loaded else "no module cray-mpich is loaded"))
        if loaded:
            found[cray[0]] = f"MPICH {cray[0]}"
    return list(found.values())


def launcher_family(text: str) -> str:
    """The family, from the output of ``mpirun --version`` or a finding; "" if unknown."""
    for words, family in (
        ("Open MPI", "Open MPI"),
        ("Open-MPI", "Open MPI"),
        ("Intel(R) MPI", "Intel MPI"),
        ("Intel MPI", "Intel MPI"),
        ("HYDRA", "MPICH"),
        ("mpich", "MPICH"),
        ("MPICH", "MPICH"),
    ):
        if words in text:
            return family
    return ""


def wrapper_family(program: Path) -> str:
    """The family of a compiler wrapper, from the command it would run; "" if unknown."""
    text = quick_output([program, "-show"], timeout=3.0) or ""
    if re.search(r"-lmpich|mpich", text):
        return "MPICH"
    if re.search(r"\bimpi\b|intel.*mpi|-lmpifort -lmpi\b", text):
        return "Intel MPI"
    if re.search(r"openmpi|open-mpi|-lmpi_cxx|-lopen-", text):
        return "Open MPI"
    # Open MPI 5 has none of these words when it is in a separate prefix.
    showme = quick_output([program, "--showme:version"], timeout=3.0) or ""
    return "Open MPI" if "Open MPI" in showme else ""


def library_family(binary: bytes | mmap.mmap) -> str:
    """The family of the MPI library that a program or library names; "" if there is none.

    MPICH and its descendants, including Intel's, share the binary interface libmpi.so.12; Cray
    names its library after the compiler, such as libmpi_gnu_103.so.12.
    """
    if _MPICH.search(binary):
        return "MPICH"
    return "Open MPI" if re.search(rb"libmpi\.so\.(?:40|20)\b", binary) else ""


def compatible(one: str, other: str) -> bool:
    """Whether a program of one family runs with the other; True if one is unknown."""
    mpich = ("MPICH", "Intel MPI")
    return not one or not other or one == other or (one in mpich and other in mpich)
