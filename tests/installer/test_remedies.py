"""Known problems are recognised before a build and in its log, explained, and repaired on request.

Each is provoked for real: with a compiler that has the fault, a file system that is full, a CMake
project that misbehaves.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.installer.driver_machine import DEFAULT, DriverMachine
from tests.installer.synthetic_machines import (
    ODD_NAME,
    Machine,
    Outcome,
    make_kim,
    make_program,
    make_torch,
    write,
)
from tests.versions.toolchains import fetched_cmake
from torchml_installer import errors
from torchml_installer.building.configure_loop import LoopWatch
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, cuda, toolchain
from torchml_installer.remedies import KNOWN, no_space_for_temporaries, recognised_in_log
from torchml_installer.remedies.cmake_loops import CMakeRestarts
from torchml_installer.remedies.libcuda_missing import LibcudaMissing
from torchml_installer.remedies.no_space_for_temporaries import NoSpaceForTemporaries
from torchml_installer.remedies.threads_not_found import ThreadsNotFound
from torchml_installer.remedies.torch_cmake_traps import TorchCMakeTraps
from torchml_installer.support.paths import temporary_caches
from torchml_installer.support.process import run_logged
from torchml_installer.uninstall import remove_caches

Setter = Callable[[Mapping[str, str]], None]

pytestmark = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("c++")), reason="needs CMake and a C++ compiler"
)


@pytest.fixture
def driver(machine: Machine) -> DriverMachine:
    return DriverMachine(machine)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: Setter) -> Places:
    """A synthetic torch and KIM-API beside this machine's tools."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CXXFLAGS", "LDFLAGS"):
        monkeypatch.delenv(name, raising=False)
    return Places(make_torch(tmp_path / "torch"), make_kim(tmp_path / "kim"))


def with_compiler(places: Places, cxx: Path) -> BuildPlan:
    chosen = Places(places.torch_root, places.kim_root, str(cxx))
    return BuildPlan(toolchain(chosen), chosen)


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
    plan = with_compiler(places, broken)
    symptom = ThreadsNotFound().before_build(plan)
    assert symptom is not None
    assert str(broken) in symptom.explanation
    assert isinstance(symptom.error, errors.KnownProblemError)
    repaired = ThreadsNotFound().fix(plan).plan
    assert repaired.tools.compiler.where not in (None, broken)
    assert ThreadsNotFound().before_build(repaired) is None


def test_a_driver_is_not_built_with_a_wrapper_that_drops_pthread_unless_repaired(
    driver: DriverMachine, tmp_path: Path
) -> None:
    write(driver.sources / "CMakeLists.txt", THREADS_PROJECT)
    options = ("--cxx", str(wrapper(tmp_path / "wrapper", _NO_THREADS)))
    outcome = driver.install(*driver.command(*options), script=driver.script)
    assert outcome.code == errors.KnownProblemError.exit_code
    assert "cannot link a program with threads" in outcome.err
    assert "With --fix, this command will build with " in outcome.err
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
    assert "CMake uses the threads in the C library" in outcome.err


def test_threads_missing_in_the_log_are_explained(places: Places, tmp_path: Path) -> None:
    plan = with_compiler(places, wrapper(tmp_path / "wrapper", _NO_THREADS))
    text = "CMake Error: Could NOT find Threads (missing: Threads_FOUND)"
    assert ThreadsNotFound().in_log(text, plan) is not None
    assert ThreadsNotFound().in_log("-- Found Threads: TRUE", plan) is None


# --- file systems ---------------------------------------------------------------------------


def install_with_mount(
    driver: DriverMachine, place: Path, options: str, arguments: list[str]
) -> Outcome:
    """Runs the command where ``place`` is a file system in memory of its own."""
    place.mkdir(parents=True, exist_ok=True)
    words = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount")
    mounting = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
    start = [*words, "sh", "-c", mounting, "sh", options, place]
    done = subprocess.run(
        [*start, sys.executable, driver.script, *arguments],
        cwd=driver.folder,
        env=driver.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_a_read_only_collection_is_told_and_ones_own_taken_instead(driver: DriverMachine) -> None:
    outcome = install_with_mount(driver, driver.collection, "ro", driver.command())
    assert outcome.code == errors.CollectionNotWritableError.exit_code
    assert "is on a read-only file system" in outcome.err
    assert "With --fix, this command will install into your own collection." in outcome.err
    outcome = install_with_mount(driver, driver.collection, "ro", driver.command("--fix"))
    assert outcome.code == 0, outcome.err
    own = Path(driver.environment["KIM_API_CMAKE_PREFIX_DIR"]) / "user/model_drivers"
    assert [path.name for path in own.iterdir()] == [DEFAULT]


def test_ones_own_collection_that_is_not_writable_gets_advice_that_helps(
    driver: DriverMachine,
) -> None:
    own = Path(driver.environment["KIM_API_CMAKE_PREFIX_DIR"]) / "user/model_drivers"
    arguments = ["driver", "--no-python", "--fix"]
    outcome = install_with_mount(driver, own, "ro", arguments)
    assert outcome.code == errors.CollectionNotWritableError.exit_code
    assert "sudo chown" in outcome.err
    assert "export KIM_API_MODEL_DRIVERS_DIR=DIR" in outcome.err


def test_temporary_files_go_elsewhere_when_tmp_is_full(
    driver: DriverMachine, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    driver.environment["TMPDIR"] = str(small)
    driver.work(
        'execute_process(COMMAND sh -c "dd if=/dev/zero of=$TMPDIR/x bs=1M count=4" '
        "COMMAND_ERROR_IS_FATAL ANY)".replace("$TMPDIR", "$ENV{TMPDIR}")
    )
    outcome = install_with_mount(driver, small, "size=1m", driver.command())
    assert outcome.code == errors.DiskFullError.exit_code
    assert f"{small}, where compilers put temporary files, has" in outcome.err
    outcome = install_with_mount(driver, small, "size=1m", driver.command("--fix"))
    assert outcome.code == 0, outcome.err
    assert f"temporary files go to {tmp_path}/cache/torchml-install/tmp" in outcome.err
    assert driver.installed() == [DEFAULT]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
@pytest.mark.usefixtures("own_temporaries")
def test_a_folder_that_somebody_else_has_made_is_not_used(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of folders in /tmp can be guessed; whoever owns one could change what is built."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ODD_NAME))
    theirs = tmp_path / f"torchml-install-{os.getuid()}"
    theirs.mkdir(mode=0o777)
    os.chown(theirs, 4242, 4242)
    monkeypatch.setattr(no_space_for_temporaries, "_roomy", lambda _plan: tmp_path)
    plan = with_compiler(places, Path("c++"))
    for remedy in (NoSpaceForTemporaries(), LibcudaMissing()):
        with pytest.raises(errors.NotPermittedError, match="belongs to another user"):
            remedy.fix(plan)
    assert list(theirs.iterdir()) == []
    assert temporary_caches() == []


@pytest.mark.usefixtures("own_temporaries")
def test_temporary_folders_of_repairs_go_with_the_caches(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ODD_NAME))
    monkeypatch.setattr(no_space_for_temporaries, "_roomy", lambda _plan: tmp_path)
    plan = with_compiler(places, Path("c++"))
    (folder,) = NoSpaceForTemporaries().fix(plan).plan.environment.values()
    LibcudaMissing().fix(plan)
    own = tmp_path / f"torchml-install-{os.getuid()}"
    assert Path(folder) == own / "tmp"
    assert (own / "libcuda-stub/libcuda.so.1").is_file()
    assert {own / "tmp", own / "libcuda-stub"} <= set(remove_caches())
    assert not own.exists()


# --- CMake that configures for ever ---------------------------------------------------------


def test_a_build_that_configures_itself_for_ever_is_stopped_and_repaired(
    driver: DriverMachine,
) -> None:
    future = write(driver.folder / "read by cmake")
    os.utime(future, (time.time() + 86400,) * 2)
    text = (driver.sources / "CMakeLists.txt").read_text()
    loop = f'set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "{future}")\n'
    write(driver.sources / "CMakeLists.txt", text + loop)
    if shutil.which("ninja") is None:
        pytest.skip("make does not care for time stamps in the future")
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.ConfigureLoopError.exit_code
    assert "keeps reconfiguring the project and was stopped" in outcome.err
    assert "time stamp is in the future" in outcome.err
    assert driver.installed() == []
    outcome = driver.install(*driver.command("--fix"), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert "repaired cmake-loops" in outcome.err
    assert driver.installed() == [DEFAULT]


def test_a_loop_names_the_file_from_the_future(tmp_path: Path) -> None:
    future = write(tmp_path / "source/CMakeLists.txt")
    os.utime(future, (time.time() + 3600,) * 2)
    watch = LoopWatch((tmp_path / "source",))
    lines = ["[0/1] Re-running CMake...", "-- Configuring done (0.1s)"] * 50
    with pytest.raises(errors.ConfigureLoopError, match="s in the future") as caught:
        any(watch.see(line) for line in lines)
    assert str(future) in caught.value.message


def test_a_configuration_that_begins_anew_for_ever_is_stopped_while_it_does(
    places: Places, tmp_path: Path
) -> None:
    line = "You have changed variables that require your cache to be deleted."
    program = write(
        tmp_path / "cmake", f"#!/bin/sh\nwhile true; do echo '{line}'; done\n", executable=True
    )
    with pytest.raises(errors.ConfigureLoopError) as caught:
        run_logged([program], title="configuring", log=tmp_path / "log", watch=LoopWatch(()).see)
    plan = with_compiler(places, Path("c++"))
    symptom = CMakeRestarts().in_log(caught.value.message, plan)
    assert symptom is not None
    assert symptom.command[-1] == "cmake"


@pytest.mark.slow
def test_a_newer_cmake_is_fetched_where_the_machines_begins_anew_for_ever(
    driver: DriverMachine,
) -> None:
    """A project that chooses its compiler itself, which CMake 3.18 never gets over."""
    chosen = f'set(CMAKE_CXX_COMPILER "{shutil.which("g++")}")\nproject(stand_in LANGUAGES CXX)'
    text = (driver.sources / "CMakeLists.txt").read_text()
    write(
        driver.sources / "CMakeLists.txt", text.replace("project(stand_in LANGUAGES NONE)", chosen)
    )
    old = fetched_cmake("3.18.4.post1")
    compiler = write(driver.folder / "compiler/c++", '#!/bin/sh\nexec g++ "$@"\n', executable=True)
    driver.environment |= {
        "PATH": os.pathsep.join([str(old), os.environ["PATH"]]),
        "CXX": str(compiler),
    }
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.ConfigureLoopError.exit_code, outcome.err
    assert "CMake starts over" in outcome.err
    assert "With --fix, this command will build with a private CMake" in outcome.err
    assert driver.installed() == []
    outcome = driver.install(*driver.command("--fix"), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert "repaired cmake-restarts" in outcome.err
    assert driver.installed() == [DEFAULT]
    assert driver.install(*driver.command("--fix"), script=driver.script).code == 0


def test_configuring_again_once_is_no_loop() -> None:
    watch = LoopWatch(())
    for number in range(50):
        watch.see("[0/1] Re-running CMake...")
        watch.see("-- Configuring done (0.1s)")
        watch.see(f"[{number}/50] Building CXX object a.o")


# --- libraries ------------------------------------------------------------------------------

#: A program linked with a library that needs libcuda, as a CUDA-aware MPI does.
CUDA_PROJECT = """\
cmake_minimum_required(VERSION 3.18)
project(cuda LANGUAGES CXX)
file(WRITE "${{CMAKE_CURRENT_BINARY_DIR}}/a.cpp"
  "extern \\"C\\" int f(); int main() {{ return f(); }}")
add_executable(a "${{CMAKE_CURRENT_BINARY_DIR}}/a.cpp")
target_link_libraries(a PRIVATE "{library}")
foreach(name IN LISTS TORCHML_DRIVER_NAMES)
  install(PROGRAMS $<TARGET_FILE:a>
    DESTINATION "${{KIM_API_MODEL_DRIVER_INSTALL_PREFIX}}/${{name}}" RENAME library.so)
endforeach()
"""


def compile_library(source: str, library: Path, *options: str) -> Path:
    library.parent.mkdir(parents=True, exist_ok=True)
    text = write(library.with_suffix(".cpp"), source)
    command = ["c++", "-shared", "-fPIC", "-nostdlib", str(text), "-o", str(library), *options]
    subprocess.run(command, check=True)
    return library


@pytest.mark.parametrize("with_toolkit", [False, True])
def test_what_needs_libcuda_is_linked_without_it_and_without_a_trace(
    driver: DriverMachine, tmp_path: Path, with_toolkit: bool
) -> None:
    if cuda.detect_driver().usable:
        pytest.skip("this machine has NVIDIA's driver")
    soname = "-Wl,-soname,libcuda.so.1"
    stub = 'extern "C" int cuInit() { return 0; }'
    library = compile_library(stub, tmp_path / "toolkit/lib64/stubs/libcuda.so", soname)
    source = 'extern "C" int cuInit(); extern "C" int f() { return cuInit(); }'
    user = compile_library(source, tmp_path / "mpi/libuser.so", str(library))
    if with_toolkit:
        make_program(tmp_path / "toolkit/bin/nvcc", "Cuda compilation tools, release 12.4, V12.4")
        driver.environment["CUDA_HOME"] = str(tmp_path / "toolkit")
    else:
        shutil.rmtree(tmp_path / "toolkit")
        driver.environment["CUDA_HOME"] = str(tmp_path / "toolkit")
    write(driver.sources / "CMakeLists.txt", CUDA_PROJECT.format(library=user))
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.BuildFailedError.exit_code
    assert "known problem libcuda-missing" in outcome.err
    outcome = driver.install(*driver.command("--fix"), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert ("the CUDA toolkit's libcuda" in outcome.err) == with_toolkit
    built = (driver.collection / DEFAULT / "library.so").read_bytes()
    assert b"libcuda-stub" not in built


NEW_SYMBOL = "GLIBCXX_3.4.99"


def newer_compiler(folder: Path) -> Path:
    """A compiler as conda's: it links with a libstdc++ that is newer than the system's."""
    folder.mkdir()
    script = write(folder / "versions", f"{NEW_SYMBOL} {{ global: from_the_future; }};\n")
    library = compile_library(
        'extern "C" int from_the_future() { return 0; }',
        folder / "libstdc++.so.6",
        "-Wl,-soname,libstdc++.so.6",
        f"-Wl,--version-script={script}",
    )
    user = write(
        folder / "user.cpp", 'extern "C" int from_the_future();\nint x = from_the_future();\n'
    )
    subprocess.run(["c++", "-fPIC", "-c", user, "-o", folder / "user.o"], check=True)
    return write(
        folder / "c++",
        "#!/bin/sh\n"
        'case "$*" in\n'
        f"    -print-file-name=libstdc++.so.6) echo '{library}'; exit ;;\n"
        f"    *-shared*) exec g++ \"$@\" '{folder}/user.o' '{library}' ;;\n"
        "esac\n"
        'exec g++ "$@"\n',
        executable=True,
    )


SHARED_PROJECT = """\
cmake_minimum_required(VERSION 3.18)
project(shared LANGUAGES CXX)
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/a.cpp" "int f() { return 1; }")
add_library(a MODULE "${CMAKE_CURRENT_BINARY_DIR}/a.cpp")
foreach(name IN LISTS TORCHML_DRIVER_NAMES)
  install(PROGRAMS $<TARGET_FILE:a>
    DESTINATION "${KIM_API_MODEL_DRIVER_INSTALL_PREFIX}/${name}" RENAME library.so)
endforeach()
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_compiler_with_a_newer_libstdcxx_is_recognised_and_the_systems_taken(
    driver: DriverMachine, tmp_path: Path
) -> None:
    write(driver.sources / "CMakeLists.txt", SHARED_PROJECT)
    write(
        Path(driver.environment["KIM_API_CMAKE_PREFIX_DIR"])
        / "libexec/kim-api/kim-api-shared-library-test",
        f'#!/bin/sh\nexec "{sys.executable}" - "$1" <<END\n'
        "import ctypes, sys\ntry:\n    ctypes.CDLL(sys.argv[1])\n"
        "except OSError as error:\n    print(error)\n    sys.exit(3)\nEND\n",
        executable=True,
    )
    options = ("--cxx", str(newer_compiler(tmp_path / "conda")))
    outcome = driver.install(*driver.command(*options), script=driver.script)
    assert outcome.code == errors.LibraryNotLoadableError.exit_code
    assert f"version `{NEW_SYMBOL}' not found" in outcome.err
    assert "Use KIM-API, simulator and compiler from the same place" in outcome.err
    assert driver.installed() == []
    outcome = driver.install(*driver.command("--fix", *options), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert "repaired newer-cxx-library: the build uses the compiler" in outcome.err


# --- the C++ standard -----------------------------------------------------------------------

#: As gcc 9: refuses the standard that torch is written in.
OLD_COMPILER = """\
#!/bin/sh
for word; do
    case $word in
        --version) echo 'c++ (Ubuntu) {version}'; exit ;;
        -std=*20) echo "c++: error: unrecognized command line option '$word'" >&2; exit 1 ;;
    esac
done
exec '{compiler}' "$@"
"""


def with_one_newer_compiler(driver: DriverMachine, version: str) -> Path:
    """Leaves an old c++ on PATH and one newer g++ with a number; returns that."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    programs = driver.folder / "programs"
    text = OLD_COMPILER.format(version=version, compiler=compiler)
    write(programs / "c++", text, executable=True)
    newer = write(programs / "g++-97", f'#!/bin/sh\nexec "{compiler}" "$@"\n', executable=True)
    write(programs / "g++-9", text, executable=True)
    for name in ("cmake", "ninja", "make", "sh", "as", "ld", "ar", "ranlib", "dirname"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    driver.environment["PATH"] = str(programs)
    return newer


def test_a_compiler_too_old_for_torch_is_replaced_by_a_newer_one(driver: DriverMachine) -> None:
    newer = with_one_newer_compiler(driver, "9.4.0")
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.CompilerTooOldError.exit_code
    assert "Torch's headers need C++20" in outcome.err
    assert f"With --fix, this command will build with {newer}." in outcome.err
    assert driver.installed() == []
    outcome = driver.install(*driver.command("--fix"), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert f"repaired compiler-too-old: the build uses the compiler {newer}" in outcome.err
    _torch, used = (driver.collection / DEFAULT / "library.so").read_text().split("\n")
    assert used == str(newer)


def test_a_compiler_that_only_says_it_is_new_is_replaced_after_the_build(
    driver: DriverMachine,
) -> None:
    newer = with_one_newer_compiler(driver, "12.2.0")
    project = SHARED_PROJECT.replace("add_library", "set(CMAKE_CXX_STANDARD 20)\nadd_library")
    write(driver.sources / "CMakeLists.txt", project)
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.BuildFailedError.exit_code
    assert "known problem compiler-too-old" in outcome.err
    outcome = driver.install(*driver.command("--fix"), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert f"the build uses the compiler {newer}" in outcome.err
    assert driver.installed() == [DEFAULT]


# --- MPI ------------------------------------------------------------------------------------


@pytest.fixture
def mixed(driver: DriverMachine, tmp_path: Path) -> DriverMachine:
    """LAMMPS with Open MPI, and MPICH's programs first on PATH."""
    programs = tmp_path / "programs"
    write(programs / "lmp", "\0libkim-api.so.2\0libmpi.so.40\0", executable=True)
    make_program(programs / "mpicxx", "g++ -I/opt/mpich/include -L/opt/mpich/lib -lmpicxx -lmpi")
    make_program(programs / "mpirun", "HYDRA build details: Version: 4.0.2")
    driver.environment["PATH"] = f"{programs}:{driver.environment['PATH']}"
    return driver


def test_a_driver_that_asks_another_mpi_than_lammps_has_is_not_built(mixed: DriverMachine) -> None:
    outcome = mixed.install(*mixed.command("--mpi"), script=mixed.script)
    assert outcome.code == errors.KnownProblemError.exit_code
    assert "was built with Open MPI, but" in outcome.err
    assert mixed.install(*mixed.command("--no-mpi"), script=mixed.script).code == 0


def test_the_mpi_of_lammps_is_taken_where_there_is_one(
    mixed: DriverMachine, tmp_path: Path
) -> None:
    right = tmp_path / "programs/mpicxx.openmpi"
    make_program(right, "g++ -I/usr/lib/openmpi/include -lmpi_cxx -lmpi")
    build = tmp_path / "build"
    options = ("--mpi", "--fix", "--build-dir", str(build))
    outcome = mixed.install(*mixed.command(*options), script=mixed.script)
    assert outcome.code == 0, outcome.err
    assert f"MPI_CXX_COMPILER:UNINITIALIZED={right}" in (build / "build/CMakeCache.txt").read_text()


def test_doctor_tells_of_an_mpirun_that_is_not_lammpss(mixed: DriverMachine) -> None:
    answer = json.loads(mixed.install("doctor", "--json").out)
    (problem,) = (item for item in answer["known_problems"] if item["name"] == "mixed-mpi")
    assert "each process runs the whole simulation alone" in problem["explanation"]
    assert not problem["fatal"]


# --- torch's own CMake configuration --------------------------------------------------------


#: As a driver whose sources were changed, or a project of the user's own.
TORCH_PROJECT = """\
cmake_minimum_required(VERSION 3.18)
project(other LANGUAGES C CXX)
set(CMAKE_DISABLE_FIND_PACKAGE_CUDA {no_toolkit})
set(Torch_DIR "{cmake}/Torch")
set(Caffe2_DIR "{cmake}/Caffe2")
find_package(Torch REQUIRED)
foreach(name IN LISTS TORCHML_DRIVER_NAMES)
  install(FILES CMakeLists.txt
    DESTINATION "${{KIM_API_MODEL_DRIVER_INSTALL_PREFIX}}/${{name}}" RENAME library.so)
endforeach()
"""


def test_torch_s_own_cmake_code_is_recognised_where_a_project_calls_it(
    driver: DriverMachine, tmp_path: Path
) -> None:
    """The active torch's CMake files, as those of a build with CUDA, without a toolkit."""
    found = importlib.util.find_spec("torch")
    share = Path(found.origin).parent / "share/cmake" if found and found.origin else None
    if share is None or not (share / "Caffe2/Caffe2Config.cmake").is_file():
        pytest.skip("needs a torch from PyPI")
    tree = tmp_path / "torch/share/cmake"
    shutil.copytree(share, tree)
    config = tree / "Caffe2/Caffe2Config.cmake"
    text = config.read_text().replace("set(CAFFE2_USE_CUDA 0)", "set(CAFFE2_USE_CUDA 1)")
    text = re.sub(r"if\(0\)(?=\s+# The file public/cuda.cmake)", "if(1)", text)
    text = re.sub(r"if\(\s*0? AND NOT CAFFE2_USE_CUDA\)", "if(1 AND NOT CAFFE2_USE_CUDA)", text)
    assert "(1 AND NOT CAFFE2_USE_CUDA)" in text
    config.write_text(text)
    project = TORCH_PROJECT.format(no_toolkit="ON", cmake=tree)
    write(driver.sources / "CMakeLists.txt", project)
    outcome = driver.install(*driver.command("--fix"), script=driver.script)
    assert outcome.code == errors.BuildFailedError.exit_code
    assert "known problem torch-cmake-traps: The message '" in outcome.err
    assert "needs neither a CUDA toolkit nor MKL" in outcome.err
    assert driver.installed() == []


@pytest.mark.parametrize(
    "text",
    [
        "Your installed Caffe2 version uses CUDA but I cannot find the CUDA\n  libraries.",
        "-- Caffe2: Cannot find cuDNN library. Turning the option off",
        'The link interface of target "torch_cuda" contains:\n\n    CUDA::nvToolsExt\n',
        'Could not find a package configuration file provided by "MKL" with any',
    ],
)
def test_messages_of_torchs_own_cmake_code_are_explained(places: Places, text: str) -> None:
    symptom = TorchCMakeTraps().in_log(text, with_compiler(places, Path("c++")))
    assert symptom is not None
    assert "needs neither a CUDA toolkit nor MKL" in symptom.explanation
    assert symptom.repair == ""


# --- all of them ----------------------------------------------------------------------------


def test_remedies_have_names_of_their_own() -> None:
    names = [remedy.name for remedy in KNOWN]
    assert len(names) == len(set(names))


def test_a_log_without_known_problems_is_left_alone(places: Places) -> None:
    plan = with_compiler(places, Path("c++"))
    assert recognised_in_log("a.cpp:1:1: error: expected ';'", plan) is None
