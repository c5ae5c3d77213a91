"""Known problems are recognised before a build and in its log, explained, and repaired on request.

Each is provoked for real: with a compiler that has the fault, a file system that is full, a CMake
project that misbehaves.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.driver_machine import DriverMachine
from tests.installer.made_up import Machine, make_kim, make_torch, write
from torchml_installer import errors
from torchml_installer.detect import Places, toolchain
from torchml_installer.remedies.remedy import Context
from torchml_installer.remedies.threads_not_found import ThreadsNotFound

Setter = Callable[[Mapping[str, str]], None]

pytestmark = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("c++")), reason="needs CMake and a C++ compiler"
)


@pytest.fixture
def driver(machine: Machine) -> DriverMachine:
    return DriverMachine(machine)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: Setter) -> Places:
    """A made-up torch and KIM-API beside this machine's tools."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CXXFLAGS", "LDFLAGS"):
        monkeypatch.delenv(name, raising=False)
    return Places(make_torch(tmp_path / "torch"), make_kim(tmp_path / "kim"))


def with_compiler(places: Places, cxx: Path) -> Context:
    chosen = Places(places.torch_root, places.kim_root, str(cxx))
    return Context(toolchain(chosen), chosen)


# --- threads --------------------------------------------------------------------------------

#: Drops what asks for threads; `fault` is what is wrong with it besides.
_WRAPPER = """\
#!/bin/sh
compiler={compiler}
link=yes
n=$#
while [ "$n" -gt 0 ]; do
    case "$1" in
        -c|-E|-S|--version|-print-file-name=*) link=no ;;
    esac
    case "$1" in
        -pthread|-lpthread|-lpthreads) {dropped} ;;
        *) set -- "$@" "$1" ;;
    esac
    shift
    n=$((n - 1))
done
{fault}
exec "$compiler" "$@"
"""
#: As with a C library whose threads are in a library of their own, that -pthread would link.
_NO_THREADS = 'set -- -Dpthread_create=pthread_create_of_a_library_that_was_dropped "$@"'
#: Threads are there, but not all that CMake's test calls, and -pthread is an error.
_BARE_LIBRARY = (
    '[ $link = no ] || set -- "$@" -nodefaultlibs -lstdc++ -lm -lgcc_s -lgcc '
    '"$("$compiler" -print-file-name=libc.so.6)" -lgcc_s -lgcc'
)


def wrapper(folder: Path, fault: str, dropped: str = ":") -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    text = _WRAPPER.format(compiler=compiler, fault=fault, dropped=dropped)
    return write(folder / "c++", text, executable=True)


THREADS_PROJECT = """\
cmake_minimum_required(VERSION 3.18)
project(threads LANGUAGES CXX)
find_package(Threads REQUIRED)
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/a.cpp"
  "#include <pthread.h>\\nvoid* f(void* x) { return x; }\\n"
  "int main() { pthread_t t; return pthread_create(&t, 0, f, 0) || pthread_join(t, 0); }")
add_executable(a "${CMAKE_CURRENT_BINARY_DIR}/a.cpp")
target_link_libraries(a PRIVATE Threads::Threads)
foreach(name IN LISTS TORCHML_DRIVER_NAMES)
  install(PROGRAMS $<TARGET_FILE:a>
    DESTINATION "${KIM_API_MODEL_DRIVER_INSTALL_PREFIX}/${name}" RENAME library.so)
endforeach()
"""


def test_a_compiler_with_threads_has_no_problem(places: Places) -> None:
    assert ThreadsNotFound().before_build(with_compiler(places, Path("c++"))) is None


def test_a_wrapper_that_drops_pthread_is_recognised_and_another_compiler_taken(
    places: Places, tmp_path: Path
) -> None:
    broken = wrapper(tmp_path / "wrapper", _NO_THREADS)
    context = with_compiler(places, broken)
    symptom = ThreadsNotFound().before_build(context)
    assert symptom is not None
    assert str(broken) in symptom.explanation
    assert isinstance(symptom.error, errors.KnownProblemError)
    change = ThreadsNotFound().fix(context)
    repaired = context.changed(change)
    assert repaired.tools.compiler.where not in (None, broken)
    assert ThreadsNotFound().before_build(repaired) is None


def test_a_driver_is_not_built_with_a_wrapper_that_drops_pthread_unless_repaired(
    driver: DriverMachine, tmp_path: Path
) -> None:
    write(driver.sources / "CMakeLists.txt", THREADS_PROJECT)
    options = ("--cxx", str(wrapper(tmp_path / "wrapper", _NO_THREADS)))
    outcome = driver.install(*driver.command(*options), script=driver.script)
    assert outcome.code == errors.KnownProblemError.exit_code
    assert "finds no threads" in outcome.err
    assert "With --fix, this command would build with " in outcome.err
    assert driver.installed() == []
    outcome = driver.install(*driver.command("--fix", *options), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert "repaired threads-not-found: the build uses the compiler" in outcome.err
    assert len(driver.installed()) == 1


def test_cmake_is_told_of_threads_that_its_tests_miss(
    driver: DriverMachine, tmp_path: Path
) -> None:
    write(driver.sources / "CMakeLists.txt", THREADS_PROJECT)
    broken = wrapper(tmp_path / "wrapper", _BARE_LIBRARY, "echo unknown option: $1 >&2; exit 1")
    options = ("--cxx", str(broken))
    outcome = driver.install(*driver.command(*options), script=driver.script)
    assert outcome.code == errors.KnownProblemError.exit_code
    outcome = driver.install(*driver.command("--fix", *options), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert "CMake is told that threads are in the C library" in outcome.err


def test_threads_missing_in_the_log_are_explained(places: Places, tmp_path: Path) -> None:
    context = with_compiler(places, wrapper(tmp_path / "wrapper", _NO_THREADS))
    text = "CMake Error: Could NOT find Threads (missing: Threads_FOUND)"
    assert ThreadsNotFound().in_log(text, context) is not None
    assert ThreadsNotFound().in_log("-- Found Threads: TRUE", context) is None
