"""Runs the driver's tests with AddressSanitizer and UndefinedBehaviorSanitizer in its own code:
``python -m tests.sanitize [PYTEST_ARGUMENT ...]``.

Without arguments it runs all tests of the driver; ``-m sanitize`` runs those that use memory in
every way: faults, broken models, each kind of input.

The driver and the Python module are built with both; Python, LAMMPS and the other programs that
load them get the sanitizers' run-time libraries by LD_PRELOAD. A finding ends its process, and so
its test. Torch is not instrumented, but memory that the driver and torch exchange is watched. Only
gcc works: its run-time libraries can be preloaded by name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.support import KEPT, ROOT
from tests.support.keeping import kept_in_place

#: gcc's "undefined", and checks for undefined behaviour that it leaves out.
SANITIZERS = "address;undefined;float-cast-overflow"
TESTS = ("tests/unit", "tests/driver", "tests/kim", "tests/lammps")
#: Leaks are checked only if the whole process is instrumented (tests/kim/faults): Python and torch
#: deliberately keep thousands of blocks to the end.
ADDRESS_OPTIONS = "detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1"
UNDEFINED_OPTIONS = "halt_on_error=1:print_stacktrace=1"


class NoSanitizerError(Exception):
    """gcc lacks the run-time libraries of its sanitizers; the text says what to do."""


def libraries() -> list[Path]:
    """What to preload, in this order.

    Includes the C++ library: AddressSanitizer looks for its exception functions at start.
    """
    gcc = shutil.which("gcc")
    if gcc is None:
        raise NoSanitizerError("There is no gcc. On Debian: apt-get install g++.")
    found = []
    for name in ("libasan.so", "libubsan.so", "libstdc++.so.6"):
        done = subprocess.run(
            [gcc, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        )
        file = Path(done.stdout.strip())
        if not file.is_absolute():  # gcc returns the bare name of a missing file
            raise NoSanitizerError(
                f"{gcc} has no {name}. On Debian: apt-get install g++, which brings the sanitizers."
            )
        found.append(file.resolve())
    return found


def python() -> Path:
    """A Python with this one's packages and a separate place for the driver's module, which only
    programs with the preloaded libraries can load.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    outer = hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]
    folder = KEPT / "sanitized" / f"{version}-{outer}"

    def make() -> None:
        venv.create(folder, symlinks=True)
        paths = {"base": str(folder), "platbase": str(folder)}
        packages = Path(sysconfig.get_path("purelib", scheme="posix_prefix", vars=paths))
        lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
        (packages / "outer.pth").write_text("\n".join(lines) + "\n")

    kept_in_place(folder, make)
    return folder / "bin" / "python"


def environment() -> dict[str, str]:
    """The environment in which the tests run. Raises NoSanitizerError."""
    launcher = filter(None, os.environ.get("CMAKE_CXX_COMPILER_LAUNCHER", "").split(";"))
    return {
        **os.environ,
        "CC": "gcc",
        "CXX": "g++",
        "TORCHML_SANITIZE": SANITIZERS,
        # Compiled one by one, to check that each source includes what it needs.
        "TORCHML_UNITY": "OFF",
        "LD_PRELOAD": ":".join(str(file) for file in libraries()),
        # The compiler itself takes twice as long with them, and its own leaks do not matter.
        "CMAKE_CXX_COMPILER_LAUNCHER": ";".join(["env", "-u", "LD_PRELOAD", *launcher]),
        "ASAN_OPTIONS": ADDRESS_OPTIONS,
        "UBSAN_OPTIONS": UNDEFINED_OPTIONS,
        # A separate driver, which cannot be mistaken for the real one.
        "XDG_CACHE_HOME": str(KEPT / "sanitized"),
        "OMP_NUM_THREADS": "1",
    }


def selected(arguments: Sequence[str]) -> list[str]:
    """The tests that pytest runs."""
    if any((ROOT / word.partition("::")[0]).exists() for word in arguments):
        return list(arguments)
    return [*TESTS, *([] if "-m" in arguments else ["-m", "not measures"]), *arguments]


def main() -> int:
    try:
        env = environment()
    except NoSanitizerError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    # pytest's usual capture would lose a sanitizer's last message before it ends the process.
    command = [python(), "-m", "pytest", "-p", "no:cacheprovider", "--capture=sys"]
    command += selected(sys.argv[1:])
    return subprocess.run(command, env=env, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
