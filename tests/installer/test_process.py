"""Programs are run without a shell; when one fails, the user sees why and where to read on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import ODD_NAME, write
from torchml_installer.errors import BuildFailedError, DiskFullError
from torchml_installer.support.process import (
    end_process_group,
    first_error,
    quick_output,
    run_logged,
)

CMAKE_MESSAGE = """\
-- The CXX compiler identification is GNU 12.2.0
CMake Error at cmake/FindLibtorch.cmake:88 (message):
  torchml: libtorch was not found.  Install it ('pip install torch'), or set
  TORCH_ROOT to a folder with include/ and lib/.

  Looked in:

    /usr: no lib/libtorch_cpu.so
Call Stack (most recent call first):
  CMakeLists.txt:60 (include)

-- Configuring incomplete, errors occurred!
"""

NINJA_OUTPUT = """\
[1/3] Building CXX object a.o
FAILED: b.o
/usr/bin/c++ -Wall -Wno-error=unused -c b.cpp -o b.o
b.cpp: In function 'int f()':
b.cpp:3:5: warning: no return statement
b.cpp:4:1: error: expected ';' before '}' token
    4 | }
      | ^
[2/3] Building CXX object c.o
ninja: build stopped: subcommand failed.
"""

LINKER_OUTPUT = """\
[3/3] Linking CXX shared module
FAILED: libx.so
/usr/bin/ld: a.o: in function `f':
a.cpp:(.text+0x9): undefined reference to `torch::jit::load(std::string)'
collect2: error: ld returned 1 exit status
"""


def test_the_message_of_our_own_cmake_code_comes_first() -> None:
    shown = first_error(CMAKE_MESSAGE.splitlines())
    assert shown[0].startswith("torchml: libtorch was not found.")
    assert shown[-1] == "/usr: no lib/libtorch_cpu.so"


def test_the_first_compiler_error_is_shown_not_the_command() -> None:
    shown = first_error(NINJA_OUTPUT.splitlines())
    assert shown[0] == "b.cpp:4:1: error: expected ';' before '}' token"


def test_an_undefined_symbol_is_shown() -> None:
    assert "undefined reference to `torch::jit::load" in first_error(LINKER_OUTPUT.splitlines())[0]


def test_cmakes_own_error_is_shown() -> None:
    text = "CMake Error at CMakeLists.txt:3 (find_package):\n  Could not find X.\n\n-- Done"
    assert first_error(text.splitlines())[-1] == "Could not find X."


def test_output_is_kept_in_a_log_that_the_error_names(tmp_path: Path) -> None:
    log = tmp_path / ODD_NAME / "build.log"
    program = "print('a.cpp:1:1: error: no'); raise SystemExit(3)"
    with pytest.raises(BuildFailedError) as caught:
        run_logged([sys.executable, "-c", program], title="compiling", log=log)
    assert "a.cpp:1:1: error: no" in caught.value.message
    assert str(log) in caught.value.message
    assert "a.cpp:1:1: error: no\n(exit code 3)" in log.read_text()


def test_arguments_reach_the_program_as_they_are(tmp_path: Path) -> None:
    program = "import sys; print(sys.argv[1])"
    output = run_logged(
        [sys.executable, "-c", program, ODD_NAME], title="running", log=tmp_path / "log"
    )
    assert output == ODD_NAME


def test_a_full_disk_during_a_build_is_told_as_such(tmp_path: Path) -> None:
    program = "print('cc1plus: error: No space left on device'); raise SystemExit(1)"
    with pytest.raises(DiskFullError):
        run_logged([sys.executable, "-c", program], title="compiling", log=tmp_path / "log")


def test_a_compiler_killed_for_memory_gets_the_advice_to_use_fewer(tmp_path: Path) -> None:
    program = (
        "print('c++: fatal error: Killed signal terminated program cc1plus'); raise SystemExit(1)"
    )
    with pytest.raises(BuildFailedError) as caught:
        run_logged([sys.executable, "-c", program], title="compiling", log=tmp_path / "log")
    assert "--jobs 1" in caught.value.remedy


@pytest.mark.parametrize(
    "said",
    [
        "virtual memory exhausted: Cannot allocate memory",
        "cc1: out of memory allocating 65536 bytes after a total of 4096 bytes",
        "make[2]: *** [CMakeFiles/m.dir/build.make:76: m.pt.c] Killed",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "MemoryError",
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_memory_that_runs_out_is_told_with_what_helps(tmp_path: Path, said: str) -> None:
    program = f"print({said!r}); raise SystemExit(1)"
    with pytest.raises(BuildFailedError) as caught:
        run_logged(
            [sys.executable, "-c", program],
            title="building",
            log=tmp_path / "log",
            without_memory="Buy more.",
        )
    assert "building failed: memory ran out" in caught.value.message
    assert caught.value.remedy == "Buy more."


def test_a_program_that_the_kernel_ends_for_want_of_memory_says_nothing(tmp_path: Path) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(BuildFailedError, match="memory ran out"):
        run_logged([sys.executable, "-c", program], title="building", log=tmp_path / "log")


def test_an_error_in_a_line_about_memory_is_no_want_of_memory(tmp_path: Path) -> None:
    said = "m.cpp:3:1: error: expected ';' before } // out of memory even for the message"
    program = f"print({said!r}); raise SystemExit(1)"
    with pytest.raises(BuildFailedError, match="expected ';'") as caught:
        run_logged([sys.executable, "-c", program], title="building", log=tmp_path / "log")
    assert "memory ran out" not in caught.value.message


def test_detection_survives_programs_that_hang_or_fail(tmp_path: Path) -> None:
    hanging = write(tmp_path / "hangs", "#!/bin/sh\nexec sleep 60\n", executable=True)
    assert quick_output([hanging], timeout=0.2) is None
    failing = write(tmp_path / "fails", "#!/bin/sh\nexit 1\n", executable=True)
    assert quick_output([failing]) is None
    assert quick_output([tmp_path / "missing"]) is None
    assert quick_output([write(tmp_path / "text", "no program")]) is None


def test_ending_a_program_ends_what_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = write(
        tmp_path / "build",
        f"#!/bin/sh\nsleep 60 &\necho $! > '{pid_file}'\nwait\n",
        executable=True,
    )
    process = subprocess.Popen([script], start_new_session=True)
    while not pid_file.exists() or not pid_file.read_text().strip():
        time.sleep(0.01)
    end_process_group(process)
    child = int(pid_file.read_text())
    for _ in range(200):
        if not _runs(child):
            break
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that ended, but whose parent has not noticed, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and ") Z " in state.read_text())
