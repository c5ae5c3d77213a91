"""The minimal Debian in which prebuilt drivers are compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ci.release.errors import ReleaseError

#: The release that compiles, and the one whose C library is linked.
NEW, OLD = "bookworm", "bullseye"
MIRROR = "http://deb.debian.org/debian"
#: Its Python, for which the module is compiled.
PYTHON = "3.11"
PACKAGES = (
    *("ca-certificates", "binutils", "g++", "cmake", "ninja-build", "libkim-api-dev"),
    *("python3", "python3-dev"),
)
_RECIPE = Path(__file__).with_name("in_root")
#: This machine's network settings.
_SETTINGS = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")
_ENVIRONMENT = {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_DONE = "recipe/done"


def obstacle() -> str:
    """Why no root can be made here, a clause; "" if one can."""
    if os.geteuid() != 0:
        return "it needs root"
    missing = [name for name in ("debootstrap", "unshare", "chroot") if shutil.which(name) is None]
    return f"there is no {missing[0]} (`apt install debootstrap`)" if missing else ""


def make(root: Path) -> None:
    """Fills the folder, unless an earlier run has. Raises ReleaseError."""
    if (root / _DONE).exists():
        return
    if reason := obstacle():
        raise ReleaseError(
            f"Cannot make the root in which prebuilt drivers are compiled: {reason}. To leave them "
            "out, add `--without driver-wheel`."
        )
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    # In a mount namespace, since debootstrap leaves /proc mounted.
    _run(["unshare", "--mount", "debootstrap", *options, NEW, str(root), MIRROR])
    for name in _SETTINGS:
        if Path("/", name).is_file():
            shutil.copy(Path("/", name), root / name)
    shutil.copytree("/etc/apt/apt.conf.d", root / "etc/apt/apt.conf.d", dirs_exist_ok=True)
    sources = "".join(f"deb {MIRROR} {release} main\n" for release in (NEW, OLD))
    (root / "etc/apt/sources.list").write_text(sources, "utf-8")
    pin = f"Package: *\nPin: release n={OLD}\nPin-Priority: -1\n"
    (root / "etc/apt/preferences.d/old").write_text(pin, "utf-8")
    shutil.copytree(_RECIPE, root / "recipe")
    run(root, "/recipe/old_libraries.sh", OLD, PYTHON)
    (root / _DONE).touch()


def run(root: Path, *command: str, epoch: int = 0) -> str:
    """Runs a command in the root; returns its output. Raises ReleaseError."""
    environment = {**_ENVIRONMENT, "SOURCE_DATE_EPOCH": str(epoch)}
    return _run(["chroot", str(root), *command], environment)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-40:])
        raise ReleaseError(f"`{' '.join(command)}` failed (exit code {done.returncode}):\n{tail}")
    return done.stdout
