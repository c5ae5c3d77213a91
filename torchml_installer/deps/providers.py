"""Package managers: which work here, and their commands to install packages."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torchml_installer.deps import pip as python_packages
from torchml_installer.detect.programs import which
from torchml_installer.support import files
from torchml_installer.support.user_python import user_python

#: Without a password: a prompt would block a CI job for ever.
_SUDO = ("sudo", "-n")
_APT_OPTIONS = ("-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600")


@dataclass(frozen=True)
class Provider:
    """One package manager.

    obstacle: why it cannot be used here, "" if it can.
    command: installs packages. refresh: to run first if its lists may be out of date. repair: to
    run first if an earlier run was interrupted. by_hand: for an administrator, followed by
    packages.
    """

    name: str
    obstacle: str
    command: Callable[[Sequence[str]], list[str]]
    refresh: tuple[str, ...] = ()
    repair: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


def conda() -> Provider:
    """conda, mamba, micromamba or pixi, for the active environment."""
    prefix = os.environ.get("CONDA_PREFIX", "")
    if not prefix:
        return Provider("conda", "no conda environment is active (CONDA_PREFIX is not set)", list)
    if os.environ.get("PIXI_PROJECT_MANIFEST") and (pixi := which("pixi")):
        manifest = os.environ["PIXI_PROJECT_MANIFEST"]
        return Provider(
            "conda",
            "",
            lambda packages: [str(pixi[0]), "add", "--manifest-path", manifest, *packages],
        )
    program = _conda_program()
    if program is None:
        names = "conda, mamba, micromamba"
        return Provider("conda", f"{prefix} is active, but PATH has none of {names}", list)
    fixed = [program, "install", "-y", "-p", prefix, "-c", "conda-forge"]
    return Provider("conda", "", lambda packages: [*fixed, *packages])


def _conda_program() -> str | None:
    # In shells, conda and micromamba are functions; these variables name the programs.
    for variable in ("MAMBA_EXE", "CONDA_EXE"):
        if (value := os.environ.get(variable)) and os.access(value, os.X_OK):
            return value
    for name in ("mamba", "micromamba", "conda"):
        if found := which(name):
            return str(found[0])
    return None


@functools.cache
def superuser() -> tuple[str, ...] | None:
    """The words before a command that run it as root; None if that is impossible."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") is None:
        return None
    try:
        done = subprocess.run(
            [*_SUDO, "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _SUDO if done.returncode == 0 else None


def apt() -> Provider:
    """Packages of Debian and its derivatives, as root or through sudo without a password."""
    program = shutil.which("apt-get")
    if program is None:
        return Provider("apt", "this system has no apt-get", list)
    prefix = superuser()
    obstacle = ""
    if prefix is None:
        prefix = ("sudo",)
        why = "sudo asks for a password" if shutil.which("sudo") else "there is no sudo"
        obstacle = f"installing with apt needs root, and {why}"
    words = (*prefix, "env", "DEBIAN_FRONTEND=noninteractive")
    return Provider(
        "apt",
        obstacle,
        lambda packages: [*words, "apt-get", "install", *_APT_OPTIONS, *packages],
        refresh=(*words, "apt-get", "update"),
        repair=(*words, "dpkg", "--configure", "-a", "--force-confdef"),
        by_hand=("sudo", "apt-get", "install", "--no-install-recommends"),
    )


def dpkg_was_interrupted() -> bool:
    """Whether dpkg was interrupted, with apt's own test: apt then refuses to install."""
    updates = Path("/var/lib/dpkg/updates")
    return any(path.name.isdigit() for path in files.matching(updates, "*"))


def pip() -> Provider:
    """The active Python's packages."""
    found = python_packages.obstacle()
    obstacle = "" if found is None else f"{found.reason}; {found.remedy}"
    # --upgrade: what is requested is missing or too old.
    return Provider(
        "pip",
        obstacle,
        lambda packages: python_packages.install_command("--upgrade", *packages),
    )


def python_is_condas() -> bool:
    """Whether the active Python belongs to the active conda environment."""
    prefix = os.environ.get("CONDA_PREFIX", "")
    return bool(prefix) and user_python().prefix.resolve() == Path(prefix).resolve()


def conda_prefix(word: str) -> Path | None:
    """The conda environment that a choice of --provider installs into; None: into none."""
    prefix = os.environ.get("CONDA_PREFIX", "")
    if prefix and (word == "conda" or (word == "auto" and python_is_condas())):
        return Path(prefix)
    return None


def installed_by_conda(prefix: Path) -> dict[str, tuple[str, str]]:
    """The packages of a conda environment: name → version, build."""
    found = {}
    for record in files.matching(prefix / "conda-meta", "*.json"):
        words = record.stem.rsplit("-", 2)
        if len(words) == 3:
            found[words[0]] = (words[1], words[2])
    return found


def kept(prefix: Path) -> dict[str, str]:
    """What conda must not replace to install something else: package → specification.

    That is the driver's build, which the user chose for its MPI and torch, and the KIM-API that
    drivers and models were built with. conda replaces both if nothing asks for them.
    """
    installed = installed_by_conda(prefix)
    specifications = {}
    if "torchml-driver" in installed:
        version, build = installed["torchml-driver"]
        specifications["torchml-driver"] = f"torchml-driver =={version} {build}"
    if "kim-api" in installed:
        version, _ = installed["kim-api"]
        specifications["kim-api"] = f"kim-api {'.'.join(version.split('.')[:2])}.*"
    return specifications
