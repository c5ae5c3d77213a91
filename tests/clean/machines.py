"""Machines that lack something: the running system seen through an overlay, in namespaces.

A machine is a process that holds separate namespaces. In them, an overlay in memory covers the
whole root and hides programs, libraries and headers. Commands run there by ``chroot``, as root or
as a user without an entry in the list of users. Their files vanish with the machine; nothing
outside changes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.terminals import shown_on_terminal

#: The Python environment with torchml-install's own dependencies, and the repository, in there.
ENVIRONMENT = "/opt/environment"
REPOSITORY = "/opt/torchml"
HOME = "/home/someone"
#: A user without a name, as in containers and batch systems.
USER = 12345

#: The folders with everything that a bare system lacks.
_LIBRARIES = "usr/lib/*-linux-gnu*"
_NOT_BARE = (
    *(f"{_LIBRARIES}/{name}" for name in ("libtorch*", "libc10*", "*kim-api*", "libmpi*")),
    *(f"{_LIBRARIES}/{name}" for name in ("cmake", "pkgconfig", "openmpi", "libexec/kim-api")),
    *(f"usr/lib/{name}" for name in ("cmake", "gcc", "llvm*", "openmpi", "python3")),
    *(
        "usr/include",
        "usr/local",
        "usr/libexec",
        "usr/share/cmake*",
        "usr/share/kim-api",
        "usr/share/pkgconfig",
    ),
    *("opt", "home", "root/.cache", "root/.local", "root/.kim-api", "var/tmp"),
)
_PROGRAMS = ("bin", "sbin", "usr/bin", "usr/sbin")
_BARE_PACKAGES = ("apt", "passwd", "adduser", "ca-certificates", "gpgv", "mount", "tzdata")

_HOLD = """\
set -e
memory=$1 environment=$2 repository=$3
mount -t tmpfs -o size=2g,mode=755 machine "$memory"
cd "$memory"
mkdir upper work root
echo mounted
read -r _
mount -t overlay overlay -o index=off,lowerdir=/,upperdir=upper,workdir=work root
mount --rbind /proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs -o mode=1777 tmp root/tmp
mkdir -p "root$4" "root$5"
mount --bind "$environment" "root$4"
mount --bind "$repository" "root$5"
mount -o remount,bind,ro "root$5"
echo ready
read -r _ || true
"""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    def plain(self) -> Outcome:
        """Returns itself, after checking that the command printed no traceback."""
        assert "Traceback" not in self.said
        assert "bug in torchml-install" not in self.said
        assert "Exception ignored" not in self.said
        return self


@dataclass
class CleanMachine:
    """One machine; ``environment`` is the default environment of commands."""

    memory: Path
    holder: subprocess.Popen[str]
    namespaces: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)

    def path(self, place: str | Path) -> Path:
        """The path by which this process reaches a place in the machine."""
        relative = str(place).lstrip("/")
        return Path(f"/proc/{self.holder.pid}/root{self.memory}/root") / relative

    def start(
        self,
        *command: str | Path,
        user: int = 0,
        environment: dict[str, str] | None = None,
        cwd: str = "/",
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Starts a program in the machine and returns its process."""
        enter = [shutil.which("nsenter"), "--target", self.holder.pid, *self.namespaces]
        change = [shutil.which("chroot"), f"--userspec={user}:{user}", "--groups="]
        # If the tests run in the background, they and all their children ignore Ctrl-C.
        plain = ["/usr/bin/env", "--default-signal"]
        words = [*enter, *change, f"{self.memory}/root", *plain, "-C", cwd, *command]
        chosen = self.environment if environment is None else environment
        return subprocess.Popen([str(word) for word in words], env=chosen, **options)

    def run(self, *command: str | Path, timeout: float = 60.0, **options: Any) -> Outcome:
        """Runs a program in the machine to its end; a timeout fails the test."""
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        with self.start(*command, **{**streams, **options}) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        shown = [(text or b"").decode(errors="surrogateescape") for text in (out, err)]
        return Outcome(process.returncode, *shown)

    def install(self, *arguments: str | Path, **options: Any) -> Outcome:
        """Runs ``torchml-install`` with these arguments."""
        return self.run(*self.command(*arguments), **options)

    @staticmethod
    def command(*arguments: str | Path) -> list[str | Path]:
        return [f"{ENVIRONMENT}/bin/python", "-m", "torchml_installer", *arguments]

    def on_terminal(
        self, *arguments: str | Path, width: int, settings: dict[str, str] | None = None
    ) -> Outcome:
        """Runs ``torchml-install`` without root, on a terminal of the given width."""

        def start(terminal: int) -> subprocess.Popen[bytes]:
            return self.start(
                *self.command(*arguments),
                user=USER,
                environment={**self.environment, "TERM": "xterm", **(settings or {})},
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
            )

        return Outcome(*shown_on_terminal(start, rows=24, columns=width), "")

    def shell(self, script: str, **options: Any) -> Outcome:
        """Runs a shell script that can call ``torchml-install``."""
        alias = f'torchml_install() {{ {ENVIRONMENT}/bin/python -m torchml_installer "$@"; }}\n'
        return self.run("/bin/sh", "-c", alias + textwrap.dedent(script), **options)

    def share_tools(self) -> None:
        """Makes CMake and ninja from the packages of this Python available, if there are any."""
        spec = importlib.util.find_spec("cmake")
        if spec is not None and spec.origin is not None:
            folder = self.share(Path(spec.origin).parent)
            self.environment["PATH"] = f"{folder}/data/bin:{self.environment['PATH']}"
        ninja = Path(sys.executable).with_name("ninja")
        if ninja.is_file():
            shutil.copy(ninja, self.path("/usr/local/bin/ninja"))

    def administer(self, script: str) -> str:
        """Runs a script as root in the namespaces, outside the overlay, whose root is ``$root``."""
        enter = [shutil.which("nsenter"), "--target", self.holder.pid, *self.namespaces]
        words = [*enter, "/bin/sh", "-ec", f"root={self.memory}/root\n{script}"]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def memory_disk(self, place: str, size: str, *, user: int = 0, options: str = "") -> None:
        """Mounts a small separate file system at a place."""
        self.path(place).mkdir(parents=True, exist_ok=True)
        flags = f"size={size},uid={user},gid={user},mode=755{options}"
        self.administer(f"mount -t tmpfs -o {flags} small $root{place}")

    def forget_package(self, name: str) -> None:
        """Makes dpkg report a package as not installed; its files are already hidden."""
        status = self.path("/var/lib/dpkg/status")
        paragraphs = status.read_text(encoding="utf-8").split("\n\n")
        kept = [text for text in paragraphs if not text.startswith(f"Package: {name}\n")]
        assert len(kept) == len(paragraphs) - 1
        status.write_text("\n\n".join(kept), encoding="utf-8")

    def give(self, place: str, user: int = USER, mode: int = 0o755) -> Path:
        """Makes a folder that belongs to a user."""
        path = self.path(place)
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, user, user)
        path.chmod(mode)
        return path

    def share(self, folder: Path) -> Path:
        """Shows a folder of this process at the same place in the machine."""
        self.path(folder).mkdir(parents=True, exist_ok=True)
        self.administer(f"mount --bind {shlex.quote(str(folder))} $root{shlex.quote(str(folder))}")
        return folder


def obstacle() -> str:
    """The reason why no machine can be made here; "" if there is none."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("unshare", "nsenter", "chroot"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    if not Path("/var/lib/dpkg/status").is_file():
        return "hides what Debian's packages brought, and this is no Debian"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "true"], capture_output=True, text=True, check=False
    )
    return f"this kernel forbids namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def seed(folder: Path) -> Path:
    """The Python environment that all machines have: this Python, click, rich and pip."""
    base = Path(getattr(sys, "_base_executable", sys.executable))
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(base)
    version = "python{}.{}".format(*sys.version_info)
    packages = folder / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    settings = f"home = {base.parent}\ninclude-system-site-packages = false\n"
    (folder / "pyvenv.cfg").write_text(settings, encoding="utf-8")
    for name in ("click", "rich", "pygments", "markdown_it", "mdurl", "pip"):
        spec = importlib.util.find_spec(name)
        assert spec is not None, f"torchml-install needs {name}"
        assert spec.submodule_search_locations is not None
        (source,) = spec.submodule_search_locations
        shutil.copytree(source, packages / name, copy_function=_link_or_copy)
    return folder


def _link_or_copy(source: str, target: str) -> None:
    """Links, since these are some 1,500 files; nothing writes into them in place."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _bare_programs() -> set[str]:
    """The programs of a bare Debian, and Python."""
    kept: set[str] = set()
    listed = Path("/var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    for paragraph in listed.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line[:40])
        name = fields.get("Package", "")
        if fields.get("Essential") != "yes" and name not in _BARE_PACKAGES:
            continue
        architecture = fields.get("Architecture", "")
        for file in (f"{name}.list", f"{name}:{architecture}.list"):
            path = Path("/var/lib/dpkg/info") / file
            if path.is_file():
                kept |= {Path(line).name for line in path.read_text().splitlines()}
    # Links that update-alternatives makes are in no package's list.
    return kept | {"awk", "which", "pager"}


def _whiteouts(bare: bool) -> Iterator[str]:
    base = Path(sys.base_prefix).resolve()
    patterns = _NOT_BARE if bare else ("opt", "home", "root/.cache", "root/.local", "root/.kim-api")
    for pattern in patterns:
        for place in Path("/").glob(pattern):
            if not base.is_relative_to(place):
                yield str(place)
    if not bare:
        return
    kept = _bare_programs()
    for folder in _PROGRAMS:
        place = Path("/", folder)
        if place.is_symlink():
            continue
        for path in place.iterdir():
            if path.name not in kept and not path.name.startswith("python3"):
                yield str(path)


def _hide(upper: Path, place: str) -> None:
    """Hides a place: an overlay treats such a device as the absence of a file."""
    target = upper / place.lstrip("/")
    for parent in reversed(target.relative_to(upper).parents):
        below, original = upper / parent, Path("/") / parent
        if not below.exists():
            below.mkdir()
            facts = original.stat()
            below.chmod(stat.S_IMODE(facts.st_mode))
            os.chown(below, facts.st_uid, facts.st_gid)
    os.mknod(target, stat.S_IFCHR | 0o600, os.makedev(0, 0))


@contextlib.contextmanager
def machine(
    folder: Path, environment: Path, *, bare: bool = True, network: bool = False
) -> Iterator[CleanMachine]:
    """A machine, for the duration of the block.

    bare: with only the system's essential packages and Python; otherwise only what the user of the
    tests has installed is hidden. network: with access to this machine's network.
    """
    if reason := obstacle():
        pytest.skip(reason)
    folder.mkdir(parents=True, exist_ok=True)
    unshare = ["unshare", "--mount", *(() if network else ("--net",)), "/bin/sh", "-c", _HOLD, "sh"]
    holder = subprocess.Popen(
        [*unshare, str(folder), str(environment), str(ROOT), ENVIRONMENT, REPOSITORY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "mounted\n"
        upper = Path(f"/proc/{holder.pid}/root{folder}/upper")
        for place in _whiteouts(bare):
            _hide(upper, place)
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "ready\n"
        made = CleanMachine(folder, holder, ("--mount",) if network else ("--mount", "--net"))
        made.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": HOME,
            "LANG": "C.UTF-8",
            "PYTHONPATH": REPOSITORY,
        }
        made.give(HOME)
        # The interpreter may be in a folder of root's, which a user may traverse here.
        for parent in Path(sys.base_prefix).resolve().parents:
            place = made.path(parent)
            place.chmod(stat.S_IMODE(place.stat().st_mode) | 0o011)
        yield made
    finally:
        holder.stdin.close()
        holder.wait(timeout=10)
