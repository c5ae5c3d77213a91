#!/usr/bin/env python3
"""Makes a machine ready for this repository: .venv, and in it what the tests use.

    python3 ci/provision.py [--torch SPEC] [--torch-index URL] [--no-kimpy]
                            [--for test|test-all|fuzz] [--dry-run]

First .venv with this project, by the standard library alone (Python 3.9 starts it, .venv wants
3.10).  The rest runs in .venv: `torchml-install deps` installs what everybody's driver is built and
run with, and what only tests use stands here.  What is there already is left alone, a second run
takes a moment, and the next run continues one that was interrupted.
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
#: Of this project's optional dependencies; pyproject.toml says what is in them.
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
    """Something the user has to know; the text says what to do."""


# What tests use besides what `torchml-install deps` installs


@dataclass(frozen=True)
class Need:
    """Debian packages, and how to see without dpkg that what they bring is there.

    purposes: who needs it; () is everybody. What only tests need is not insisted on: without it
    they are skipped.
    """

    what: str
    apt: tuple[str, ...]
    present: Callable[[], bool]
    purposes: tuple[str, ...] = ()


def programs(*names: str) -> Callable[[], bool]:
    """Whether these are on PATH, for programs that do not have .venv activated."""

    def present() -> bool:
        folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
        path = os.pathsep.join(folder for folder in folders if folder != str(VENV / "bin"))
        return all(shutil.which(name, path=path) for name in names)

    return present


def file(path: str) -> Callable[[], bool]:
    return Path(path).is_file


def has_web_tool() -> bool:
    """KIM's own commands refuse to run without one, even to install from a folder."""
    return programs("wget")() or programs("curl")()


def has_libfuzzer() -> bool:
    """Debian's clang comes without its runtime libraries."""
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
    # `env` writes for all of them.
    Need("shells", ("fish", "tcsh", "zsh"), programs("fish", "tcsh", "zsh"), TESTS),
    # A program with a decimal comma is made of them.
    Need("sources of locales", ("locales",), file("/usr/share/i18n/locales/de_DE"), TESTS),
    Need("Lmod", ("lmod",), file("/usr/share/lmod/lmod/init/bash"), TESTS),
    # Debian's is the oldest libtorch that the driver is built with.
    Need("the oldest libtorch", ("libtorch-dev",), file("/usr/include/ATen/ATen.h"), TESTS),
    # The C++ unit tests are written with it.
    Need("doctest", ("doctest-dev",), file("/usr/include/doctest/doctest.h"), TESTS),
    # The tests of the conda packages' variants repackage it, beside Open MPI.
    Need("MPICH", ("libmpich-dev", "mpich"), programs("mpichversion"), SLOW),
    Need("clang", ("clang",), programs("clang++"), FUZZERS),
    Need("libFuzzer", ("libclang-rt-dev",), has_libfuzzer, FUZZERS),
    Need("debootstrap", ("debootstrap",), programs("debootstrap"), SLOW),
    Need("buildah", ("buildah",), programs("buildah"), SLOW),
    Need("Slurm", ("slurm-wlm", "munge"), programs("slurmctld", "munged"), SLOW),
    # What runs the GitLab template is written for Node.js, and copies with rsync. Each by itself: a
    # Node.js from elsewhere keeps apt from installing Debian's.
    Need("Node.js", ("nodejs", "npm"), programs("npm"), SLOW),
    Need("rsync", ("rsync",), programs("rsync"), SLOW),
    Need("the oldest gcc", ("g++-11",), programs("g++-11"), SLOW),
)


def missing_needs(purpose: str) -> list[Need]:
    """What somebody with that purpose has a use for, and neither the system nor dpkg has."""
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
    # A name on PATH may be a version manager's stand-in for a Python that is switched off.
    newer = [name for name in candidates if shutil.which(name) and succeeds([name, "-c", ""])]
    advice = (
        f"Run it with a newer one: {newer[0]} ci/provision.py, or make PYTHON={newer[0]} ..."
        if newer
        else "None newer was found: apt-get install python3.11 python3.11-venv python3.11-dev,"
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
    # An interrupted creation has the interpreter and no pip.
    has_pip = any(VENV.glob("lib/python3.*/site-packages/pip/__main__.py"))
    return has_pip and succeeds([str(VENV_PYTHON), "-c", ""])


def make_venv() -> None:
    """Makes .venv, with this project, which installs the rest."""
    if not venv_works():
        if VENV.exists() and not VENV.is_dir():
            raise ProvisionError(f"{VENV} is in the way: it is not a folder.")
        run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    run([str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "-e", str(ROOT)])


def run(command: Sequence[str]) -> None:
    print(" ".join(command), flush=True)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise ProvisionError(
            f"`{' '.join(command)}` failed, and says why above. If the network does not answer,"
            " check it, and pip's index and proxy. Then run this again: what is done is kept."
        )


def activated() -> dict[str, str]:
    """The environment in .venv; and with setuptools told to compile kimpy faster.

    kimpy is two dozen small extensions, which setuptools compiles one after the other, with
    debugging symbols, unless a configuration file and flags say otherwise; command-line options
    would make pip skip its wheel cache.
    """
    env = {**os.environ, "VIRTUAL_ENV": str(VENV), "PYTHONUNBUFFERED": "1"}
    env["PATH"] = os.pathsep.join([str(VENV / "bin"), env.get("PATH", os.defpath)])
    # pip would take what lies there as installed; another environment is not meant.
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
    """What .venv is made of, in short."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return hashlib.sha256("\0".join([project, torch, torch_index or ""]).encode()).hexdigest()


def is_complete(torch: str, torch_index: str | None) -> bool:
    """Whether pip has nothing to do: it was run to the end for the same, and nothing is gone."""
    folders = VENV.glob("lib/python3.*/site-packages/*.dist-info")
    names = {folder.name.split("-")[0].lower() for folder in folders}
    some = {"torchml_installer", "torch", "ase", "pytest", "mypy", "scikit_build_core"}
    return some <= names and STAMP.is_file() and STAMP.read_text() == made_of(torch, torch_index)


# The second half: in .venv, with the project's own means


def check_disk() -> None:
    free = shutil.disk_usage(ROOT).free
    if free < DISK_NEEDED:
        raise ProvisionError(
            f"{free / 1e9:.1f} GB are free where {ROOT} is, torch and the rest need about"
            f" {DISK_NEEDED / 1e9:.0f} GB: make room, then run this again."
        )


def install_python_packages(torch: str, torch_index: str | None) -> None:
    """torch first, so that nothing else pulls in another version of it."""
    check_disk()
    if not torch_index and not Path("/proc/driver/nvidia").exists():
        console.note(
            "No NVIDIA GPU seen here; if the CUDA build of torch is too large a download, stop this"
            f" and give --torch-index {packages.CPU_INDEX}"
        )
    index = ("--index-url", torch_index) if torch_index else ()
    # Of the project that is there already: pip looks for what the words in brackets add to it.
    for words in ((*index, torch), (EXTRAS,)):
        execute(
            pip.install_command(*words), f"pip: installing {' '.join(words)}", "pip", words[-1:]
        )
    STAMP.write_text(made_of(torch, torch_index))


def execute(command: Sequence[str], title: str, provider: str, names: Sequence[str]) -> None:
    """Raises TorchMLError: with the end of the output, and with what to do if that is known."""
    try:
        run_logged(command, title=title, log=LOG, failure=PackageInstallError)
    except PackageInstallError as error:
        offline.explain(error, provider, names)
        raise


def words_of_deps(kimpy: bool) -> list[str]:
    """All that `torchml-install deps` has package managers install; torch is pip's here."""
    return [word for word in needs.NEEDS if word != "torch" and (kimpy or word != "kimpy")]


def install_for_everybody(words: Sequence[str], dry_run: bool) -> bool:
    """What `torchml-install deps --with` these words does. True if anything was missing."""
    result = deps.provide(words, DepsOptions(dry_run=dry_run))
    if result.steps:
        show(result)
    return bool(result.steps)


def install_for_tests(purpose: str, dry_run: bool) -> bool:
    """By apt, what stands in NEEDS. True if anything was missing."""
    missing = missing_needs(purpose)
    apt = providers.apt()
    if apt.obstacle:
        leave_out([need for need in missing if need.purposes])
        if wanted := [need for need in missing if not need.purposes]:
            raise ProvisionError(
                f"{', '.join(need.what for need in wanted)}: missing, and {apt.obstacle}. Have"
                f" `{' '.join(apt.by_hand)} {' '.join(apt_names(wanted))}` run by somebody who may,"
                " or `conda install -c conda-forge cmake make ninja wget`; then run this again."
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
    """Says what is skipped without what only tests need, and which cannot be had here."""
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
        help="what pip shall install as torch (default: $TORCHML_TORCH, or %(default)s)",
    )
    parser.add_argument(
        "--torch-index",
        default=os.environ.get("TORCHML_TORCH_INDEX") or None,
        metavar="URL",
        help="index to take torch from, e.g. https://download.pytorch.org/whl/cpu",
    )
    parser.add_argument("--no-kimpy", action="store_true", help="leave kimpy out")
    parser.add_argument(
        "--for",
        dest="purpose",
        choices=("test", "test-all", "fuzz"),
        default="",
        help="with what these use besides, if apt has it",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    return parser.parse_args()


def begin(options: argparse.Namespace) -> None:
    """The first half, then this file again in .venv."""
    check_python()
    if options.dry_run and not (venv_works() and (VENV / "bin/torchml-install").exists()):
        print(f"would make {VENV}, and install with pip: {options.torch} {EXTRAS}")
        print(f"would install with apt: {' '.join(apt_names(missing_needs(options.purpose)))}")
        print("would run `torchml-install deps --with` all that the driver is built and run with")
        return
    # Two at once would install into each other's way: the second waits. The lock goes on.
    lock = os.open(__file__, os.O_RDONLY)
    os.set_inheritable(lock, True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("another ci/provision.py is running in this folder, waiting for it", flush=True)
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
    # A job runner's SIGTERM stops us the way Ctrl-C does, children included.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
