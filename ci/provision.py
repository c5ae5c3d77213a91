#!/usr/bin/env python3
"""Prepares a machine for this repository: makes .venv, with everything that the tests use.

    python3 ci/provision.py [--torch SPEC] [--torch-index URL] [--no-kimpy]
                            [--for test|test-all|fuzz] [--dry-run]

The first half makes .venv with this project, using the standard library alone (Python 3.9 can start
it; .venv needs 3.10). The second half runs in .venv: `torchml-install deps` installs what building
and running the driver needs; this file lists what only tests use. It leaves alone what is already
installed, so a second run takes a moment, and continues an interrupted one.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "provision.stamp"
LOG = VENV / "provision.log"

DEFAULT_TORCH = "torch==2.13.0"
#: This project with its optional dependencies, which pyproject.toml defines.
EXTRAS = "torchml-installer[test,lint,release]"
DISK_NEEDED = 3 * 10**9  # bytes for .venv, with pip's temporary files


IN_VENV = Path(sys.prefix).resolve() == VENV.resolve()
try:
    from torchml_installer import deps
    from torchml_installer.deps import needs, packages, pip, providers
    from torchml_installer.deps.record import DepsOptions
    from torchml_installer.deps.show import show
    from torchml_installer.errors import PackageInstallError, TorchMLError
    from torchml_installer.support import console, offline
    from torchml_installer.support.process import run_logged
except ImportError:
    if IN_VENV:
        raise
    TorchMLError = OSError  # type: ignore[assignment, misc]


class ProvisionError(Exception):
    """A failure to report to the user; the text says what to do."""


# What tests use besides what `torchml-install deps` installs


@dataclass(frozen=True)
class Need:
    """Debian packages, and a way to check without dpkg whether their contents are installed.

    purposes: the purposes that need them; () means all. What only tests need is optional: without
    it, they are skipped.
    """

    what: str
    apt: tuple[str, ...]
    present: Callable[[], bool]
    purposes: tuple[str, ...] = ()


def programs(*names: str) -> Callable[[], bool]:
    """Whether programs are on PATH outside .venv."""

    def present() -> bool:
        folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
        path = os.pathsep.join(folder for folder in folders if folder != str(VENV / "bin"))
        return all(shutil.which(name, path=path) for name in names)

    return present


def file(path: str) -> Callable[[], bool]:
    return Path(path).is_file


def has_web_tool() -> bool:
    """Whether there is wget or curl, which KIM's commands require even to install from a folder."""
    return programs("wget")() or programs("curl")()


def has_libfuzzer() -> bool:
    """Whether clang has libFuzzer; Debian packages its runtime libraries separately."""
    clang = shutil.which("clang++")
    if clang is None:
        return False
    command = [clang, "-print-runtime-dir"]
    folder = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return any(Path(folder).glob("libclang_rt.fuzzer*")) if folder else False


TESTS = ("test", "test-all")
SLOW = ("test-all",)
FUZZERS = ("test-all", "fuzz")
NEEDS = (
    # Beside those of .venv: for KIM's own commands, and for machines without a .venv.
    Need("CMake", ("cmake",), programs("cmake")),
    Need("build tools", ("make", "ninja-build"), programs("make", "ninja")),
    Need("web tool of KIM's commands", ("wget",), has_web_tool),
    # `torchml-install env` writes files for all of them.
    Need("shells", ("fish", "tcsh", "zsh"), programs("fish", "tcsh", "zsh"), TESTS),
    # For a program with a decimal comma.
    Need("sources of locales", ("locales",), file("/usr/share/i18n/locales/de_DE"), TESTS),
    Need("Lmod", ("lmod",), file("/usr/share/lmod/lmod/init/bash"), TESTS),
    # Debian has the oldest libtorch that tests build the driver with.
    Need("the oldest libtorch", ("libtorch-dev",), file("/usr/include/ATen/ATen.h"), TESTS),
    # For the C++ unit tests.
    Need("doctest", ("doctest-dev",), file("/usr/include/doctest/doctest.h"), TESTS),
    # The tests of the conda packages' variants repackage it, as well as Open MPI.
    Need("MPICH", ("libmpich-dev", "mpich"), programs("mpichversion"), SLOW),
    Need("clang", ("clang",), programs("clang++"), FUZZERS),
    Need("libFuzzer", ("libclang-rt-dev",), has_libfuzzer, FUZZERS),
    Need("debootstrap", ("debootstrap",), programs("debootstrap"), SLOW),
    Need("buildah", ("buildah",), programs("buildah"), SLOW),
    Need("Slurm", ("slurm-wlm", "munge"), programs("slurmctld", "munged"), SLOW),
    # The program that runs the GitLab template needs Node.js and rsync. Separate entries: a Node.js
    # from elsewhere keeps apt from installing Debian's.
    Need("Node.js", ("nodejs", "npm"), programs("npm"), SLOW),
    Need("rsync", ("rsync",), programs("rsync"), SLOW),
    Need("the oldest gcc", ("g++-11",), programs("g++-11"), SLOW),
)


def missing_needs(purpose: str) -> list[Need]:
    """The needs of a purpose that are missing, according to the system and to dpkg."""
    missing = [
        need
        for need in NEEDS
        if (not need.purposes or purpose in need.purposes) and not need.present()
    ]
    installed = installed_by_dpkg([package for need in missing for package in need.apt])
    return [need for need in missing if not installed.issuperset(need.apt)]


def installed_by_dpkg(packages: Sequence[str]) -> set[str]:
    if not packages or not shutil.which("dpkg-query"):
        return set()
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    lines = (line.split() for line in answer.stdout.splitlines())
    return {line[0] for line in lines if line[1:] == ["installed"]}


# The first half: .venv with this project in it


def check_python() -> None:
    if sys.version_info >= (3, 10):  # noqa: UP036 - an older one may start this file
        return
    candidates = (f"python3.{minor}" for minor in range(20, 9, -1))
    # A name on PATH may be a version manager's shim for a Python that is not active.
    newer = [name for name in candidates if shutil.which(name) and succeeds([name, "-c", ""])]
    advice = (
        f"Run it with a newer one: {newer[0]} ci/provision.py, or make PYTHON={newer[0]} ..."
        if newer
        else "No newer one was found: apt-get install python3.11 python3.11-venv python3.11-dev,"
        " or conda create -n torchml python=3.12."
    )
    raise ProvisionError(
        f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}. {advice}"
    )


def succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def venv_works() -> bool:
    if not VENV_PYTHON.exists() or not (VENV / "pyvenv.cfg").is_file():
        return False
    # If its creation was interrupted, .venv has an interpreter and no pip.
    has_pip = any(VENV.glob("lib/python3.*/site-packages/pip/__main__.py"))
    return has_pip and succeeds([str(VENV_PYTHON), "-c", ""])


def make_venv() -> None:
    """Makes .venv with this project, which installs the rest."""
    if not venv_works():
        if VENV.exists() and not VENV.is_dir():
            raise ProvisionError(f"{VENV} is not a folder. Move it away, then run this again.")
        run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    run([str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "-e", str(ROOT)])


def run(command: Sequence[str]) -> None:
    print(" ".join(command), flush=True)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise ProvisionError(
            f"`{' '.join(command)}` failed; its message is above. If the network does not answer,"
            " check it, and pip's index and proxy. Then run this again: it continues where it"
            " stopped."
        )


def activated() -> dict[str, str]:
    """The environment variables for .venv, which also make setuptools compile kimpy faster.

    By default, setuptools compiles kimpy's two dozen small extensions one after the other, with
    debugging symbols. A configuration file and flags change that; command-line options would make
    pip skip its wheel cache.
    """
    env = {**os.environ, "VIRTUAL_ENV": str(VENV), "PYTHONUNBUFFERED": "1"}
    env["PATH"] = os.pathsep.join([str(VENV / "bin"), env.get("PATH", os.defpath)])
    # pip would count packages there as installed, although they belong to another environment.
    for name in ("PYTHONPATH", "CONDA_PREFIX"):
        env.pop(name, None)
    if "DIST_EXTRA_CONFIG" not in env:
        config = VENV / "setuptools.cfg"
        config.write_text(f"[build_ext]\nparallel = {os.cpu_count() or 1}\n", encoding="utf-8")
        env["DIST_EXTRA_CONFIG"] = str(config)
    for flags in ("CFLAGS", "CXXFLAGS"):
        env[flags] = f"{env.get(flags, '')} -g0".strip()
    return env


def made_of(torch: str, torch_index: str | None) -> str:
    """A short text that identifies the contents of .venv."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return hashlib.sha256("\0".join([project, torch, torch_index or ""]).encode()).hexdigest()


def is_complete(torch: str, torch_index: str | None) -> bool:
    """Whether pip has nothing to do: it finished for the same contents, and they still exist."""
    folders = VENV.glob("lib/python3.*/site-packages/*.dist-info")
    names = {folder.name.split("-")[0].lower() for folder in folders}
    some = {"torchml_installer", "torch", "ase", "pytest", "mypy", "scikit_build_core"}
    return some <= names and STAMP.is_file() and STAMP.read_text() == made_of(torch, torch_index)


# The second half: in .venv, with the project's own code


def check_disk() -> None:
    free = shutil.disk_usage(ROOT).free
    if free < DISK_NEEDED:
        raise ProvisionError(
            f"The disk of {ROOT} has {free / 1e9:.1f} GB free, but torch and the rest need about"
            f" {DISK_NEEDED / 1e9:.0f} GB. Free some space, then run this again."
        )


def install_python_packages(torch: str, torch_index: str | None) -> None:
    """Installs torch first, so that nothing else requires another version of it."""
    check_disk()
    if not torch_index and not Path("/proc/driver/nvidia").exists():
        console.note(
            "No NVIDIA GPU was found. To avoid the large download of torch's CUDA build, stop this"
            f" and add --torch-index {packages.CPU_INDEX}"
        )
    index = ("--index-url", torch_index) if torch_index else ()
    # The project itself is already installed: pip adds what its extras require.
    for words in ((*index, torch), (EXTRAS,)):
        execute(
            pip.install_command(*words), f"pip: installing {' '.join(words)}", "pip", words[-1:]
        )
    STAMP.write_text(made_of(torch, torch_index))


def execute(command: Sequence[str], title: str, provider: str, names: Sequence[str]) -> None:
    """Runs a command. Raises TorchMLError with the end of its output and, if known, what to do."""
    try:
        run_logged(command, title=title, log=LOG, failure=PackageInstallError)
    except PackageInstallError as error:
        offline.explain(error, provider, names)
        raise


def words_of_deps(kimpy: bool) -> list[str]:
    """Everything that `torchml-install deps` has package managers install, except torch."""
    return [word for word in needs.NEEDS if word != "torch" and (kimpy or word != "kimpy")]


def install_for_everybody(words: Sequence[str], dry_run: bool) -> bool:
    """Does the same as `torchml-install deps --with` these words. True if anything was missing."""
    result = deps.provide(words, DepsOptions(dry_run=dry_run))
    if result.steps:
        show(result)
    return bool(result.steps)


def install_for_tests(purpose: str, dry_run: bool) -> bool:
    """Installs what NEEDS lists, with apt. True if anything was missing."""
    missing = missing_needs(purpose)
    apt = providers.apt()
    if apt.obstacle:
        leave_out([need for need in missing if need.purposes])
        if wanted := [need for need in missing if not need.purposes]:
            raise ProvisionError(
                f"{', '.join(need.what for need in wanted)}: missing, and {apt.obstacle}. Ask an"
                f" administrator to run `{' '.join(apt.by_hand)} {' '.join(apt_names(wanted))}`, or"
                " run `conda install -c conda-forge cmake make ninja wget`; then run this again."
            )
        return False

    def run_apt(command: Sequence[str], title: str) -> None:
        execute(command, f"apt: {title}", "apt", apt_names(missing))

    def known(some: Sequence[Need]) -> bool:
        return succeeds([*apt.command(apt_names(some)), "--simulate"])

    if missing and not dry_run and not known(missing):
        run_apt(apt.refresh, "fetching the lists of packages")
        unknown = [need for need in missing if need.purposes and not known([need])]
        leave_out(unknown)
        missing = [need for need in missing if need not in unknown]
    if missing and dry_run:
        print(f"would install with apt: {' '.join(apt_names(missing))}")
    elif missing:
        step = packages.Step(apt, (), tuple(apt.command(apt_names(missing))))
        step.run(f"installing {' '.join(apt_names(missing))}", run_apt)
    return bool(missing)


def apt_names(some: Sequence[Need]) -> list[str]:
    return [package for need in some for package in need.apt]


def leave_out(needs: Sequence[Need]) -> None:
    """Prints which tests will be skipped, since what they need cannot be installed here."""
    for need in needs:
        print(f"without {need.what} ({' '.join(need.apt)}): the tests of it are skipped")


def install(options: argparse.Namespace) -> None:
    """Raises ProvisionError and TorchMLError."""
    complete = is_complete(options.torch, options.torch_index)
    if not complete and options.dry_run:
        print(f"would install with pip: {options.torch} {EXTRAS}")
    elif not complete:
        install_python_packages(options.torch, options.torch_index)
    some = install_for_everybody(words_of_deps(not options.no_kimpy), options.dry_run)
    more = install_for_tests(options.purpose, options.dry_run)
    if options.dry_run and complete and not some and not more:
        print("nothing is missing")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--torch",
        default=os.environ.get("TORCHML_TORCH") or DEFAULT_TORCH,
        metavar="SPEC",
        help="requirement of torch for pip (default: $TORCHML_TORCH, or %(default)s)",
    )
    parser.add_argument(
        "--torch-index",
        default=os.environ.get("TORCHML_TORCH_INDEX") or None,
        metavar="URL",
        help="index to install torch from, such as https://download.pytorch.org/whl/cpu",
    )
    parser.add_argument("--no-kimpy", action="store_true", help="leave kimpy out")
    parser.add_argument(
        "--for",
        dest="purpose",
        choices=("test", "test-all", "fuzz"),
        default="",
        help="also install what these need, as far as apt has it",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    return parser.parse_args()


def begin(options: argparse.Namespace) -> None:
    """Runs the first half, then this file again in .venv."""
    check_python()
    if options.dry_run and not (venv_works() and (VENV / "bin/torchml-install").exists()):
        print(f"would make {VENV}, and install with pip: {options.torch} {EXTRAS}")
        print(f"would install with apt: {' '.join(apt_names(missing_needs(options.purpose)))}")
        print("would run `torchml-install deps --with` everything that the driver needs")
        return
    # Two processes would disturb each other, so the second waits. The child inherits the lock.
    lock = os.open(__file__, os.O_RDONLY)
    os.set_inheritable(lock, True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("waiting for another ci/provision.py that is running in this folder", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    if not options.dry_run and not (
        venv_works() and is_complete(options.torch, options.torch_index)
    ):
        make_venv()
    os.execve(VENV_PYTHON, [str(VENV_PYTHON), __file__, *sys.argv[1:]], activated())


def main() -> int:
    options = arguments()
    try:
        if IN_VENV:
            install(options)
        else:
            begin(options)
    except KeyboardInterrupt:
        print("interrupted: run this again to continue")
        return 130
    except (ProvisionError, TorchMLError) as error:
        said = [getattr(error, "message", error), getattr(error, "remedy", "")]
        print("error:", "\n".join(str(part) for part in said if str(part)))
        return 1
    except OSError as error:
        print(f"error: {error}. Run this again to continue.")
        return 1
    return 0


if __name__ == "__main__":
    # A job runner's SIGTERM stops this program and its children, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
