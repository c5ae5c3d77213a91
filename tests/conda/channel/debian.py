"""Packages made of Debian's: files of installed packages, and programs that stay where they are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.conda.channel.files import copy, is_elf, replace_in_texts, set_run_paths, write_program
from tests.conda.channel.package import ChannelError, Package

_MULTIARCH = "lib/x86_64-linux-gnu"
_TRIPLET = "x86_64-conda-linux-gnu"
#: Variants of a driver share many objects. The home folder of a build is discarded.
_CCACHE = """\
if [ -x /usr/bin/ccache ]; then
    export CCACHE_DIR="$(getent passwd "$(id -u)" | cut -d: -f6)/.cache/ccache"
    export CMAKE_CXX_COMPILER_LAUNCHER=/usr/bin/ccache CCACHE_BASEDIR=/ CCACHE_NOHASHDIR=1
    export CCACHE_COMPILERCHECK=content
    export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
fi
"""
_KEPT = ("bin/", "include/", "lib/", "libexec/", "share/cmake/")
#: All packages in the channel, except compilers of one version, such as g++-12.
_USED = (
    "g++",
    "lammps",
    "libc6",
    "libgcc-s1",
    "libgfortran5",
    "libkim-api-dev",
    "libkim-api2",
    "liblammps0",
    "libmpich-dev",
    "libmpich12",
    "libopenmpi-dev",
    "libopenmpi3",
    "libquadmath0",
    "libstdc++6",
    "make",
    "mpich",
    "openmpi-bin",
    "openmpi-common",
    "pkgconf",
    "wget",
    "xxd",
)


def _query(form: str, *packages: str) -> str:
    query = ["dpkg-query", "--show", f"--showformat={form}", *packages]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError as error:
        raise ChannelError("This is no Debian: the channel is made of its packages.") from error


def installed_versions() -> list[str]:
    """The installed packages among those in the channel: ["make 4.3-4.1", ...].

    Raises ChannelError if there is no dpkg.
    """
    return sorted(_query("${Package} ${Version} ${db:Status-Status}\\n", *_USED).splitlines())


def debian_version(package: str) -> str:
    """The upstream version of an installed package. Raises ChannelError if it is not there."""
    assert package in _USED or re.fullmatch(r"g\+\+-\d+", package), package
    answer = _query("${db:Status-Status} ${Version}", package)
    if not answer.startswith("installed "):
        raise ChannelError(f"Debian's {package} is missing: apt-get install {package}")
    version = re.sub(r"^\d+:", "", answer.split()[1])
    found = re.match(r"\d+(\.\d+)*", version)
    assert found is not None, version
    return found[0]


def lay_out(
    packages: Sequence[str],
    stage: Path,
    patchelf: Path,
    left_out: re.Pattern[str] | None = None,
    kept: tuple[str, ...] = (),
) -> None:
    """Copies the packages' files to their places below a prefix with a single lib/.

    left_out: parts of the names of files that are not copied. kept: folders besides the usual ones.
    """
    for package in packages:
        debian_version(package)
        listed = subprocess.run(
            ["dpkg-query", "--listfiles", package], capture_output=True, text=True, check=True
        ).stdout
        for line in listed.splitlines():
            source = Path(line)
            place = line.removeprefix("/usr").lstrip("/").replace(f"{_MULTIARCH}/", "lib/", 1)
            if left_out is not None and left_out.search(place):
                continue
            if place.startswith((*_KEPT, *kept)) and (source.is_symlink() or source.is_file()):
                copy(source, stage / place)
    replace_in_texts(stage, _MULTIARCH, "lib")
    set_run_paths(stage, patchelf)


def libraries(name: str, package: str, work: Path, patchelf: Path) -> Package:
    """The shared libraries of a Debian package that depend only on the system."""
    stage = work / name
    lay_out([package], stage, patchelf)
    return Package(name, debian_version(package), "0", stage)


def kim_api(work: Path, patchelf: Path) -> Package:
    """KIM-API, which looks for its system collection beside its library.

    conda-forge's looks in lib/openkim-models, Debian's in lib/kim-api: here they are one folder.
    """
    stage = work / "kim-api"
    lay_out(["libkim-api2", "libkim-api-dev"], stage, patchelf)
    (stage / "lib/kim-api").rename(stage / "lib/openkim-models")
    (stage / "lib/kim-api").symlink_to("openkim-models")
    config = stage / "lib/pkgconfig/libkim-api.pc"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("${pcfiledir}/../../../", "${pcfiledir}/../.."), "utf-8")
    version = debian_version("libkim-api2")
    return Package(
        "kim-api",
        version,
        "0",
        stage,
        ("libgcc >=12", "libgfortran5 >=12", "libstdcxx >=12", "pkg-config", "wget"),
    )


def lammps(work: Path, patchelf: Path) -> Package:
    """LAMMPS with KIM, which runs with the channel's KIM-API and Open MPI.

    Debian's program is lmp; in conda-forge's builds with an MPI it is lmp_mpi, without lmp_serial.
    """
    stage = work / "lammps"
    lay_out(["lammps", "liblammps0"], stage, patchelf)
    assert is_elf(stage / "bin/lmp")
    (stage / "bin/lmp").rename(stage / "bin/lmp_mpi")
    version = debian_version("lammps")
    release = f"{version[:4]}.{version[4:6]}.{version[6:8]}"
    depends = ("kim-api >=2.3,<3", "mpi ==1.0 openmpi", "openmpi >=4.1,<5")
    return Package("lammps", release, "mpi_openmpi_0", stage, depends)


def programs(name: str, package: str, names: Sequence[str], work: Path, **more: object) -> Package:
    """A package whose programs call the system's."""
    stage = work / name
    version = debian_version(package)
    for program in names:
        path = Path("/usr/bin", program)
        if not path.exists():
            raise ChannelError(f"Debian's {package} has no {path}: apt-get install {package}")
        write_program(stage / "bin" / program, f'#!/bin/sh\nexec {path} "$@"\n')
    return Package(name, version, "0", stage, **more)  # type: ignore[arg-type]


def compilers(work: Path) -> list[Package]:
    """The system's compilers under the names, and with the activation, of conda-forge's."""
    packages = []
    version = debian_version("g++")
    release = debian_version(f"g++-{version.split('.')[0]}")
    for name, variable, program, aliases, exported in (
        ("gcc_linux-64", "CC", "gcc", ("gcc", "cc"), "libgcc"),
        ("gxx_linux-64", "CXX", "g++", ("g++", "c++"), "libstdcxx"),
    ):
        stage = work / name
        for alias in aliases:
            path = stage / "bin" / f"{_TRIPLET}-{alias}"
            write_program(path, f'#!/bin/sh\nexec /usr/bin/{program} "$@"\n')
        compiler = f"$CONDA_PREFIX/bin/{_TRIPLET}-{aliases[1]}"
        write_program(
            stage / f"etc/conda/activate.d/activate-{name}.sh",
            f'export {variable}="{compiler}"\n{_CCACHE}',
        )
        write_program(stage / f"etc/conda/deactivate.d/deactivate-{name}.sh", f"unset {variable}\n")
        depends = ("gcc_linux-64",) if variable == "CXX" else ()
        exports = {"strong": [f"{exported} >={release.split('.')[0]}"]}
        packages.append(Package(name, release, "0", stage, depends, run_exports=exports))
    packages.append(Package("c-compiler", "1.11.0", "0", depends=("gcc_linux-64",)))
    packages.append(Package("cxx-compiler", "1.11.0", "0", depends=("c-compiler", "gxx_linux-64")))
    glibc = debian_version("libc6")
    exports = {"strong": [f"__glibc >={glibc},<3.0.a0"]}
    packages.append(Package("sysroot_linux-64", glibc, "0", noarch=True, run_exports=exports))
    return packages


def debian_packages(work: Path, patchelf: Path) -> list[Package]:
    """All packages from Debian. Raises ChannelError for those that are not installed."""
    return [
        libraries("libgcc", "libgcc-s1", work, patchelf),
        libraries("libstdcxx", "libstdc++6", work, patchelf),
        libraries("libquadmath", "libquadmath0", work, patchelf),
        libraries("libgfortran5", "libgfortran5", work, patchelf),
        kim_api(work, patchelf),
        lammps(work, patchelf),
        programs("wget", "wget", ("wget",), work),
        programs("pkg-config", "pkgconf", ("pkg-config",), work),
        programs("make", "make", ("make",), work),
        # conda-forge has xxd in vim.
        programs("vim", "xxd", ("xxd",), work),
        *compilers(work),
    ]
