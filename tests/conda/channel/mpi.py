"""The two MPIs: Debian's Open MPI and MPICH, moved into packages that exclude each other.

Their network libraries (UCX, libfabric, PMIx) are still the system's.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.conda.channel.debian import debian_version, lay_out
from tests.conda.channel.files import files_in, write_program
from tests.conda.channel.package import PREFIX_MARK, Package

#: Unused parts: Java, Fortran, OpenSHMEM, static libraries, profilers.
_LEFT_OUT = re.compile(
    r"(^|/)(fortran|jni|libmpi_java|libmpi_usempi|libmpi_mpifh|libmpichfort|liboshmem|libompitrace"
    r"|mpijavac|mpif|osh|shmem|aggregate_profile|profile2mat|hydra_persist)|\.(a|la|mod|jar)$"
)
_WRAPPERS = ("mpicc", "mpicxx")
_STARTERS = ("mpiexec", "mpirun")
#: Variables by which Open MPI finds its files in another place.
_PLACES = f'export OPAL_PREFIX="{PREFIX_MARK}" OPAL_SYSCONFDIR="{PREFIX_MARK}/etc/openmpi"\n'


def _package(name: str, version: str, stage: Path) -> Package:
    major, minor = version.split(".")[:2]
    return Package(
        name,
        version,
        "0",
        stage,
        (f"mpi ==1.0 {name}", "libgcc >=12", "libstdcxx >=12"),
        run_exports={"weak": [f"{name} >={major}.{minor},<{int(major) + 1}.0a0"]},
    )


def openmpi(work: Path, patchelf: Path) -> Package:
    """Open MPI, whose programs set these variables before they start."""
    stage = work / "openmpi"
    packages = ["libopenmpi3", "libopenmpi-dev", "openmpi-bin", "openmpi-common"]
    lay_out(packages, stage, patchelf, _LEFT_OUT, ("etc/", "share/openmpi/"))
    # It was configured with Debian's folders below its prefix.
    (stage / "lib/x86_64-linux-gnu").symlink_to(".")
    (stage / "lib/libmpi.so").symlink_to("libmpi.so.40")
    moved = stage / "libexec/openmpi"
    moved.mkdir(parents=True)
    for program, real in (("mpiexec", "orterun"), ("mpicc", "opal_wrapper")):
        (stage / "bin" / real).rename(moved / real)
        for name in _STARTERS if program == "mpiexec" else _WRAPPERS:
            (moved / name).symlink_to(real)
    for path in list((stage / "bin").iterdir()):
        if path.is_symlink() and not path.exists():
            path.unlink()
    for name in (*_STARTERS, *_WRAPPERS):
        text = f'#!/bin/sh\n{_PLACES}exec "{PREFIX_MARK}/libexec/openmpi/{name}" "$@"\n'
        write_program(stage / "bin" / name, text)
    write_program(stage / "etc/conda/activate.d/openmpi.sh", _PLACES)
    unset = "unset OPAL_PREFIX OPAL_SYSCONFDIR\n"
    write_program(stage / "etc/conda/deactivate.d/openmpi.sh", unset)
    return _package("openmpi", debian_version("openmpi-bin"), stage)


def mpich(work: Path, patchelf: Path) -> Package:
    """MPICH, whose compiler wrappers are scripts that name its folders."""
    stage = work / "mpich"
    lay_out(["libmpich12", "libmpich-dev", "mpich"], stage, patchelf, _LEFT_OUT)
    for path in list(files_in(stage / "bin")):
        if path.suffix == ".mpich":
            path.rename(path.with_suffix(""))
    for name in _WRAPPERS:
        path = stage / "bin" / name
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r'(?<==)"?/usr\b', PREFIX_MARK, text), encoding="utf-8")
    # The name in MPICH's own releases, on which programs built elsewhere depend.
    (stage / "lib/libmpi.so.12").symlink_to("libmpich.so.12")
    return _package("mpich", debian_version("mpich"), stage)


def mpi_packages(work: Path, patchelf: Path) -> list[Package]:
    """``openmpi`` and ``mpich``, and the package ``mpi``, of which an environment has one.

    Raises ChannelError if Debian's packages are not installed.
    """
    return [
        Package("mpi", "1.0", "openmpi", noarch=True),
        Package("mpi", "1.0", "mpich", noarch=True),
        openmpi(work, patchelf),
        mpich(work, patchelf),
    ]
