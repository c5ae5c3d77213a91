"""`driver` refuses early, installs in one step and leaves what was there when it fails.

The real driver takes half a minute to compile; a small stand-in project with the same variables
shows the same behaviour here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.installer.driver_machine import DEFAULT, DriverMachine
from tests.installer.synthetic_machines import (
    ODD_NAME,
    OLD_ABI,
    REPOSITORY,
    Machine,
    make_program,
    make_torch,
    write,
)
from torchml_installer import errors
from torchml_installer.driver import project
from torchml_installer.errors import BadNameError, BadOptionError

pytestmark = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("c++")), reason="needs CMake and a C++ compiler"
)


@pytest.fixture
def driver(machine: Machine) -> DriverMachine:
    return DriverMachine(machine)


def builds(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "cache/torchml-install/build"
    return sorted(path for path in folder.iterdir() if path.is_dir())


def test_a_driver_is_installed_through_paths_with_blanks_and_quotes(driver: DriverMachine) -> None:
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert driver.installed() == [DEFAULT]
    assert f"Installed the driver {DEFAULT}" in outcome.out
    assert outcome.out.splitlines()[-1].startswith(
        "  next: run a first model with `torchml-install quickstart`"
    )
    torch_root, compiler = (driver.collection / DEFAULT / "library.so").read_text().split("\n")
    assert torch_root == driver.environment["TORCH_ROOT"]
    assert Path(compiler).name == "c++"


def test_a_receipt_says_what_was_installed_from_what(driver: DriverMachine, tmp_path: Path) -> None:
    driver.install(*driver.command(), script=driver.script)
    (path,) = (tmp_path / "data/torchml-install/receipts").iterdir()
    receipt = json.loads(path.read_text())
    assert (receipt["schema"], receipt["kind"], receipt["name"]) == (1, "driver", DEFAULT)
    assert receipt["files"] == [str(driver.collection / DEFAULT / "library.so")]
    made_from = receipt["made_from"]
    assert made_from["torch"].startswith("2.13.0+cpu in ")
    assert made_from["cmake"].endswith("/cmake")
    assert (made_from["version"], made_from["graph"], made_from["mpi"]) == ("1.2.3", "ON", "OFF")


def test_programs_read_what_was_installed_as_json(driver: DriverMachine) -> None:
    words = driver.command("--name", "A", "--name", "B", "--json")
    outcome = driver.install(*words, script=driver.script)
    assert outcome.code == 0, outcome.err
    answer = json.loads(outcome.out)
    assert answer["schema"] == 1
    assert answer["drivers"] == [
        {"name": name, "folder": str(driver.collection / name)} for name in ("A", "B")
    ]
    assert answer["python_module"] is None
    assert answer["torch"] == {
        "version": "2.13.0+cpu",
        "root": driver.environment["TORCH_ROOT"],
    }
    assert Path(answer["log"]).is_file()


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--scatter-root", errors.ExtensionMissingError),
        ("--sparse-root", errors.ExtensionMissingError),
        ("--libdescriptor-root", errors.LibdescriptorUnusableError),
    ],
)
def test_the_root_of_an_optional_library_may_be_named(
    driver: DriverMachine, tmp_path: Path, option: str, error: type[errors.TorchMLError]
) -> None:
    outcome = driver.install(*driver.command(option, "nowhere"), script=driver.script)
    assert outcome.code == error.exit_code
    assert f"error: {option} is {driver.folder}/nowhere" in outcome.err
    assert f"Leave out {option}" in outcome.err
    assert "_ROOT" not in outcome.err
    assert not (tmp_path / "cache/torchml-install/build").exists()
    if option == "--libdescriptor-root":
        return  # that must compute, see test_libdescriptor.py
    word = option.removeprefix("--").partition("-")[0]
    write(driver.folder / f"my/lib/libtorch{word}.so")
    text = (driver.sources / "CMakeLists.txt").read_text()
    name = f"Torch{word.capitalize()}_ROOT"
    write(driver.sources / "CMakeLists.txt", f'{text}message(STATUS "told $ENV{{{name}}}")\n')
    build = tmp_path / "build"
    words = driver.command(option, "my", "--build-dir", str(build))
    outcome = driver.install(*words, script=driver.script)
    assert outcome.code == 0, outcome.err
    assert f"told {driver.folder}/my\n" in (build / "build.log").read_text()


def test_several_names_are_installed_side_by_side_and_twice_is_fine(
    driver: DriverMachine,
) -> None:
    names = ("--name", "TorchMLModelDriver", "--name", DEFAULT)
    for _ in range(2):
        outcome = driver.install(*driver.command(*names), script=driver.script)
        assert outcome.code == 0, outcome.err
    assert driver.installed() == ["TorchMLModelDriver", DEFAULT]


def test_another_name_uses_the_same_build(driver: DriverMachine, tmp_path: Path) -> None:
    driver.install(*driver.command(), script=driver.script)
    driver.install(*driver.command("--name", "Other"), script=driver.script)
    assert driver.installed() == ["Other", DEFAULT]
    (build,) = builds(tmp_path)
    assert "working" not in (build / "build.log").read_text()


@pytest.mark.parametrize("variable", ["KIM_MODEL_DISABLE_GRAPH", "KIM_MODEL_DISBALE_GRAPH", ""])
def test_graphs_are_left_out_on_request_however_it_is_spelt(
    driver: DriverMachine, tmp_path: Path, variable: str
) -> None:
    build = tmp_path / "build"
    if variable:
        driver.environment[variable] = "0"  # defined is enough
    options = ("--build-dir", str(build)) if variable else ("--build-dir", str(build), "--no-graph")
    outcome = driver.install(*driver.command(*options), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert "TORCHML_GRAPH:UNINITIALIZED=OFF" in (build / "build/CMakeCache.txt").read_text()


def test_of_changed_sources_only_those_are_compiled_again(
    driver: DriverMachine, tmp_path: Path
) -> None:
    driver.install(*driver.command(), script=driver.script)
    (before,) = builds(tmp_path)
    driver.work('message(STATUS "other work")')
    driver.install(*driver.command(), script=driver.script)
    (build,) = builds(tmp_path)
    assert build == before
    assert "other work" in (build / "build.log").read_text()
    write(driver.sources / "NOTES.md", "nothing that is compiled\n")
    driver.install(*driver.command(), script=driver.script)
    assert "other work" not in (build / "build.log").read_text()


def test_variables_that_lead_the_compiler_elsewhere_have_builds_of_their_own(
    driver: DriverMachine, tmp_path: Path
) -> None:
    """Objects made with other headers are not linked together."""
    driver.install(*driver.command(), script=driver.script)
    for count, name in enumerate(("CPATH", "LIBRARY_PATH"), start=2):
        driver.environment[name] = str(tmp_path)
        driver.install(*driver.command(), script=driver.script)
        assert len(builds(tmp_path)) == count
    assert {"C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH"} < set(project.ENVIRONMENT)


def test_a_build_goes_when_its_sources_are_gone(driver: DriverMachine, tmp_path: Path) -> None:
    driver.install(*driver.command(), script=driver.script)
    (old,) = builds(tmp_path)
    elsewhere = driver.sources.rename(driver.sources.with_name("moved"))
    driver.script.write_text(
        driver.script.read_text().replace(repr(str(driver.sources)), repr(str(elsewhere)))
    )
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == 0, outcome.err
    (new,) = builds(tmp_path)
    assert new != old


def test_a_failed_build_leaves_the_old_driver_and_names_log_and_error(
    driver: DriverMachine,
) -> None:
    driver.install(*driver.command(), script=driver.script)
    before = (driver.collection / DEFAULT / "library.so").stat().st_ino
    driver.work('message(FATAL_ERROR "a.cpp:1:1: error: no")')
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.BuildFailedError.exit_code
    assert "a.cpp:1:1: error: no" in outcome.err
    assert Path(outcome.err.partition("log: ")[2].partition("\n")[0]).is_file()
    assert driver.installed() == [DEFAULT]
    assert (driver.collection / DEFAULT / "library.so").stat().st_ino == before


def test_a_driver_that_cannot_be_loaded_is_never_installed(driver: DriverMachine) -> None:
    write(
        Path(driver.environment["KIM_API_CMAKE_PREFIX_DIR"])
        / "libexec/kim-api/kim-api-shared-library-test",
        "#!/bin/sh\necho Unable to open.\necho 'libcudart.so.12: cannot open'\nexit 3\n",
        executable=True,
    )
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.LibraryNotLoadableError.exit_code
    assert "libcudart.so.12: cannot open" in outcome.err
    assert driver.installed() == []


def test_a_message_of_the_drivers_own_cmake_code_reaches_the_user(driver: DriverMachine) -> None:
    driver.environment["TORCHML_WERROR"] = "1"
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.BuildFailedError.exit_code
    assert "torchml: warnings are errors here.  Unset TORCHML_WERROR." in outcome.err


def test_sanitizers_are_passed_on_to_the_build(driver: DriverMachine) -> None:
    driver.environment["TORCHML_SANITIZE"] = "address;undefined"
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.BuildFailedError.exit_code
    assert "torchml: sanitizers: address;undefined." in outcome.err


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_ends_with_130_and_nothing_half_installed(
    driver: DriverMachine, wish: signal.Signals
) -> None:
    started = driver.folder / "started"
    driver.work(f'file(TOUCH "{started}")\nexecute_process(COMMAND sleep 60)')
    process = subprocess.Popen(
        [sys.executable, str(driver.script), *driver.command()],
        cwd=driver.folder,
        env=driver.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(wish)
    _out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "error: Interrupted." in err
    assert driver.installed() == []


def test_two_runs_at_once_do_not_disturb_each_other(driver: DriverMachine) -> None:
    driver.work("execute_process(COMMAND sleep 0.5)")
    processes = [
        subprocess.Popen(
            [sys.executable, str(driver.script), *driver.command("--name", name)],
            cwd=driver.folder,
            env=driver.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("A", "B")
    ]
    messages = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], messages
    assert driver.installed() == ["A", "B"]
    assert sum("waiting for another torchml-install" in text for text in messages) == 1


def test_the_build_folder_may_be_chosen(driver: DriverMachine, tmp_path: Path) -> None:
    chosen = tmp_path / "my build"
    outcome = driver.install(*driver.command("--build-dir", str(chosen)), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert (chosen / "build.log").is_file()
    assert not (tmp_path / "cache/torchml-install/build").exists()


@pytest.mark.parametrize("kind", ["file", "link", "long", "below a file"])
def test_a_build_folder_that_cannot_be_is_told(
    driver: DriverMachine, tmp_path: Path, kind: str
) -> None:
    chosen = tmp_path / "chosen"
    if kind == "link":
        chosen.symlink_to("/nowhere")
    elif kind == "long":
        chosen = tmp_path / ("a" * 300)
    else:
        chosen.write_text("mine\n")
    if kind == "below a file":
        chosen /= "build"
    outcome = driver.install(*driver.command("--build-dir", str(chosen)), script=driver.script)
    assert outcome.code == errors.NotPermittedError.exit_code, outcome.err
    assert f"error: Cannot build in {chosen}: " in outcome.err
    assert "--build-dir" in outcome.err
    assert not list(tmp_path.glob("*.lock"))


def test_a_folder_with_something_else_in_it_is_not_built_in(
    driver: DriverMachine, tmp_path: Path
) -> None:
    """A build begins with removing what does not belong into its own folders."""
    chosen = tmp_path / "project"
    mine = [write(chosen / name / "mine.cpp", "mine") for name in ("source", "stage", "build")]
    outcome = driver.install(*driver.command("--build-dir", str(chosen)), script=driver.script)
    assert all(file.is_file() for file in mine)
    assert outcome.code == errors.OutputExistsError.exit_code
    assert f"error: {chosen} contains files that are not from a build of the driver" in outcome.err
    assert "--build-dir" in outcome.err
    assert sorted(path.name for path in chosen.iterdir()) == ["build", "source", "stage"]
    chosen = tmp_path / "empty"
    chosen.mkdir()
    for _ in range(2):
        words = driver.command("--build-dir", str(chosen))
        assert driver.install(*words, script=driver.script).code == 0


def test_a_cache_with_an_odd_path_is_no_obstacle(driver: DriverMachine, tmp_path: Path) -> None:
    driver.environment["XDG_CACHE_HOME"] = str(tmp_path / ODD_NAME)
    driver.environment["TMPDIR"] = str(tmp_path)
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == 0, outcome.err
    assert (tmp_path / f"torchml-install-{os.getuid()}/build").is_dir()


def test_what_is_missing_is_told_before_anything_is_built(
    driver: DriverMachine, tmp_path: Path
) -> None:
    old = make_torch(tmp_path / "old", "2.4.0", config=OLD_ABI)
    no_compiler = make_program(tmp_path / "broken/c++", "", code=1)
    cases: list[tuple[list[str], type[errors.TorchMLError]]] = [
        (["--torch-root", str(tmp_path / "nowhere")], errors.NoTorchError),
        (["--torch-root", str(old)], errors.OldAbiTorchError),
        (["--kim-root", str(tmp_path / "nowhere")], errors.NoKimApiError),
        (["--cxx", str(no_compiler)], errors.NoCompilerError),
        (["--name", "my-driver"], BadNameError),
        (["--jobs", "0"], BadOptionError),
    ]
    for arguments, error in cases:
        outcome = driver.install(*driver.command(*arguments), script=driver.script)
        assert outcome.code == error.exit_code, outcome.err
        assert "what to do: " in outcome.err
    assert driver.installed() == []
    assert not (tmp_path / "cache").exists()


def test_an_old_cmake_is_told_before_anything_is_built(
    driver: DriverMachine, tmp_path: Path
) -> None:
    # Only an old CMake on PATH; one that pip put beside this Python would be found, and used.
    if (Path(sys.executable).parent / "cmake").exists():
        script = write(
            driver.folder / "alone.py",
            "from pathlib import Path\n"
            "from torchml_installer.detect import programs\n"
            f"programs.python_program_folder = lambda: Path({str(tmp_path)!r})\n"
            + driver.script.read_text(),
        )
    else:
        script = driver.script
    make_program(tmp_path / "old/cmake", "cmake version 3.16.3")
    for name in ("c++", "ninja", "make"):
        if program := shutil.which(name):
            (tmp_path / "old" / name).symlink_to(program)
    driver.environment["PATH"] = str(tmp_path / "old")
    outcome = driver.install(*driver.command(), script=script)
    assert outcome.code == errors.CMakeTooOldError.exit_code
    assert "3.16.3" in outcome.err


def test_an_unset_environment_collection_names_the_variable(driver: DriverMachine) -> None:
    del driver.environment["KIM_API_MODEL_DRIVERS_DIR"]
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.CollectionUnsetError.exit_code
    assert "KIM_API_MODEL_DRIVERS_DIR" in outcome.err


def test_a_collection_that_cannot_be_written_is_told_before_the_build(
    driver: DriverMachine, tmp_path: Path
) -> None:
    write(tmp_path / "file")
    driver.environment["KIM_API_MODEL_DRIVERS_DIR"] = str(tmp_path / "file/collection")
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == errors.CollectionNotWritableError.exit_code
    assert not (tmp_path / "cache").exists()


def test_the_sources_are_found_in_a_checkout() -> None:
    from torchml_installer.support.resources import shared_folder

    assert shared_folder("driver_src") == REPOSITORY / "driver_src"
    with pytest.raises(errors.SourcesMissingError):
        shared_folder("no_such_folder")
