"""`driver` takes a prebuilt driver if it fits, says why if it does not, and compiles then.

The wheels here have a library that loads, but computes nothing; clean/test_without_compiler.py uses
the real one.
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
from tests.installer.prebuilt_wheels import NAME, VERSION, make_library, make_prebuilt
from tests.installer.synthetic_machines import Machine, Outcome, make_kim, make_torch, write
from torchml_installer.detect import elf
from torchml_installer.detect.prebuilt import is_of_system
from torchml_installer.errors import NoTorchError, PrebuiltUnfitError

pytestmark = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("c++") and shutil.which("cc")),
    reason="needs CMake and a C++ compiler",
)
LIBRARY = "libkim-api-model-driver.so"
_COMPILES = "configuring the driver"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_library(tmp_path_factory.mktemp("library"))


@pytest.fixture
def driver(machine: Machine) -> DriverMachine:
    made = DriverMachine(machine)
    # The test of the energy cannot load it, and says so.
    write(Path(made.environment["KIM_API_CMAKE_PREFIX_DIR"]) / "lib/libkim-api.so.2")
    return made


@pytest.fixture
def wheels(driver: DriverMachine) -> Path:
    return driver.folder / "some wheels"


def install(driver: DriverMachine, *words: str | Path) -> Outcome:
    return driver.install(*driver.command(*map(str, words)), script=driver.script)


def test_one_that_fits_is_installed_without_compiling(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    wheel = make_prebuilt(wheels, library)
    driver.environment["PATH"] = str(driver.folder)  # no compiler, no CMake
    outcome = install(driver, "--find-links", wheels)
    assert outcome.code == 0, outcome.err
    assert f"Installing the prebuilt driver for torch 2.13.0+cpu: {wheel}" in outcome.err
    assert _COMPILES not in outcome.err
    assert driver.installed() == [DEFAULT]
    made = (driver.collection / DEFAULT / LIBRARY).read_bytes()
    assert made.endswith(b"2.13")


def test_it_finds_this_machine_s_torch_and_has_the_name_that_was_asked_for(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    make_prebuilt(wheels, library)
    outcome = install(driver, "--find-links", wheels, "--name", "A", "--name", "Another_name")
    assert outcome.code == 0, outcome.err
    assert driver.installed() == ["A", "Another_name"]
    torch = Path(driver.environment["TORCH_ROOT"]) / "lib"
    kim = Path(driver.environment["KIM_API_CMAKE_PREFIX_DIR"]) / "lib"
    for name in driver.installed():
        place = driver.collection / name / LIBRARY
        facts = elf.facts(place)
        assert facts is not None
        assert (facts.run_path, facts.run_path_first) == ((torch, kim), True)
        assert place.read_bytes().count(name.encode().ljust(len(NAME), b"\0")) == 1
        assert NAME.encode() not in place.read_bytes()


def test_its_receipt_says_where_it_came_from_and_uninstall_removes_it(
    driver: DriverMachine, wheels: Path, library: bytes, tmp_path: Path
) -> None:
    wheel = make_prebuilt(wheels, library)
    install(driver, "--find-links", wheels)
    (path,) = (tmp_path / "data/torchml-install/receipts").iterdir()
    receipt = json.loads(path.read_text())
    assert (receipt["kind"], receipt["name"]) == ("driver", DEFAULT)
    assert receipt["made_from"]["prebuilt"] == str(wheel)
    assert receipt["made_from"]["torch"].startswith("2.13.0+cpu in ")
    assert driver.install("uninstall", DEFAULT).code == 0
    assert driver.installed() == []
    assert wheel.exists()


def test_programs_read_which_one_was_installed(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    wheel = make_prebuilt(wheels, library)
    answers = [
        json.loads(install(driver, "--json", *words).out)
        for words in (("--find-links", wheels), ("--build",))
    ]
    assert [answer["prebuilt"] for answer in answers] == [str(wheel), None]


def test_pip_s_own_setting_names_the_folder_too(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    quoted = driver.folder / "wheels"
    make_prebuilt(quoted, library)
    driver.environment["PIP_FIND_LINKS"] = f"https://example.invalid/x {quoted}"
    assert "Installing the prebuilt driver" in install(driver).err


def test_the_newest_version_is_the_one_that_counts(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    make_prebuilt(wheels, library, version="1.2.2")
    fitting = make_prebuilt(wheels, library)
    make_prebuilt(wheels, library, version="1.10.0")
    assert str(fitting) in install(driver, "--find-links", wheels).err


UNFIT = {
    "torch": (
        {"torches": ("2.11", "2.12")},
        "has drivers for torch 2.11, 2.12, but the torch here is",
    ),
    "version": (
        {"version": "1.2.2"},
        f"is version 1.2.2, but this torchml-install is for {VERSION}",
    ),
    "machine": ({"machine": "riscv64"}, "is for riscv64 processors"),
    "glibc": ({"glibc": "9.9"}, "needs glibc 9.9 or newer, but this system has 2."),
    "schema": ({"schema": 2}, "was made for a newer torchml-install"),
    "room": ({"room": 9}, "are longer than 9 bytes"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_one_that_does_not_fit_is_left_and_the_driver_compiled(
    driver: DriverMachine, wheels: Path, library: bytes, case: str
) -> None:
    changes, reason = UNFIT[case]
    make_prebuilt(wheels, library, **changes)  # type: ignore[arg-type]
    outcome = install(driver, "--find-links", wheels)
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.err.split())
    assert "Compiling the driver." in said
    assert reason in said
    assert driver.installed() == [DEFAULT]


@pytest.mark.parametrize("case", UNFIT)
def test_who_demands_one_gets_an_error_if_it_does_not_fit(
    driver: DriverMachine, wheels: Path, library: bytes, case: str
) -> None:
    changes, reason = UNFIT[case]
    make_prebuilt(wheels, library, **changes)  # type: ignore[arg-type]
    outcome = install(driver, "--prebuilt", "--find-links", wheels)
    assert outcome.code == PrebuiltUnfitError.exit_code
    assert reason in " ".join(outcome.err.split())
    assert "what to do: " in outcome.err
    assert driver.installed() == []


@pytest.mark.parametrize("words", [["--no-graph"], ["--mpi"], ["--build-dir", "there"]])
def test_options_that_only_a_build_can_follow_make_it_build(
    driver: DriverMachine, wheels: Path, library: bytes, words: list[str]
) -> None:
    make_prebuilt(wheels, library)
    outcome = install(driver, "--find-links", wheels, *words)
    assert "A prebuilt driver is not possible with" in outcome.err.replace("without", "with")
    assert _COMPILES in outcome.err
    outcome = install(driver, "--find-links", wheels, "--prebuilt", *words)
    assert outcome.code == PrebuiltUnfitError.exit_code


def test_build_compiles_although_one_fits(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    make_prebuilt(wheels, library)
    outcome = install(driver, "--find-links", wheels, "--build")
    assert outcome.code == 0, outcome.err
    assert _COMPILES in outcome.err
    assert "prebuilt" not in outcome.err


def test_without_a_wheel_it_compiles_and_without_a_compiler_names_the_way(
    driver: DriverMachine,
) -> None:
    assert "No wheel with a prebuilt driver was found." in install(driver).err
    assert install(driver, "--prebuilt").code == PrebuiltUnfitError.exit_code
    driver.environment["PATH"] = str(driver.folder)
    driver.environment.pop("CXX", None)
    outcome = install(driver)
    assert outcome.code == 7
    assert "--find-links DIR" in outcome.err


def test_an_empty_folder_is_named(driver: DriverMachine, wheels: Path) -> None:
    wheels.mkdir()
    outcome = install(driver, "--prebuilt", "--find-links", wheels)
    assert outcome.code == PrebuiltUnfitError.exit_code
    assert str(wheels) in outcome.err


def test_a_missing_torch_is_still_the_first_problem(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    make_prebuilt(wheels, library)
    shutil.rmtree(driver.environment["TORCH_ROOT"])
    for words in ([], ["--prebuilt"]):
        outcome = install(driver, "--find-links", wheels, *words)
        assert outcome.code == NoTorchError.exit_code


@pytest.mark.parametrize("harm", ["cut", "no library", "no name", "no facts"])
def test_a_damaged_wheel_installs_nothing(
    driver: DriverMachine, wheels: Path, library: bytes, harm: str
) -> None:
    contents = {"no library": b"x", "no name": library.replace(b"TorchML_prebuilt", b"x" * 16)}
    wheel = make_prebuilt(wheels, contents.get(harm, library))
    if harm == "cut":
        wheel.write_bytes(wheel.read_bytes()[:-200])
    elif harm == "no facts":
        wheel.write_bytes(make_wheel_without_facts(wheels / "other").read_bytes())
    outcome = install(driver, "--prebuilt", "--find-links", wheels)
    assert outcome.code == PrebuiltUnfitError.exit_code
    assert "damaged" in outcome.err
    assert driver.installed() == []


def make_wheel_without_facts(folder: Path) -> Path:
    from tests.installer.synthetic_machines import make_wheel

    return make_wheel(folder, "torchml_driver", VERSION, {"torchml_driver/__init__.py": ""})


def test_a_kim_api_elsewhere_or_too_new_is_told(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    make_prebuilt(wheels, library)
    kim = make_kim(driver.folder / "kim 3", version="3.0.0")
    write(kim / "lib/libkim-api.so.3")
    driver.environment["KIM_API_CMAKE_PREFIX_DIR"] = str(kim)
    outcome = install(driver, "--prebuilt", "--find-links", wheels)
    assert outcome.code == PrebuiltUnfitError.exit_code
    assert "3.0.0" in outcome.err


def test_the_driver_that_was_there_stays_if_a_run_is_interrupted(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    make_prebuilt(wheels, library)
    assert install(driver, "--find-links", wheels).code == 0
    before = (driver.collection / DEFAULT / LIBRARY).stat().st_ino
    # KIM's program is asked after the new one was staged.
    tester = Path(driver.environment["KIM_API_CMAKE_PREFIX_DIR"]) / "libexec/kim-api"
    started = driver.folder / "started"
    write(
        tester / "kim-api-shared-library-test",
        f"#!/bin/sh\ntouch '{started}'\nsleep 60\n",
        executable=True,
    )
    words = driver.command("--find-links", str(wheels))
    process = subprocess.Popen(
        [sys.executable, str(driver.script), *words],
        env=driver.environment,
        cwd=driver.folder,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert (driver.collection / DEFAULT / LIBRARY).stat().st_ino == before
    assert driver.installed() == [DEFAULT]


def test_two_at_once_leave_one_whole_driver(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    make_prebuilt(wheels, library)
    command = [sys.executable, str(driver.script), *driver.command("--find-links", str(wheels))]
    both = [
        subprocess.Popen(command, env=driver.environment, cwd=driver.folder, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert driver.installed() == [DEFAULT]
    assert (driver.collection / DEFAULT / LIBRARY).read_bytes().endswith(b"2.13")


def test_doctor_shows_one_that_fits_and_needs_no_compiler_then(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    from torchml_installer import __version__

    quoted = driver.folder / "wheels"
    make_prebuilt(quoted, library, version=__version__)
    driver.environment |= {"PIP_FIND_LINKS": str(quoted), "PATH": str(driver.folder)}
    driver.environment.pop("CXX", None)
    outcome = driver.install("doctor")
    assert outcome.code == 0, outcome.out
    assert "A prebuilt driver fits" in outcome.out
    found = json.loads(driver.install("doctor", "--json").out)
    assert found["ok"]
    (one,) = [one for one in found["findings"] if one["name"] == "prebuilt-driver"]
    assert one["usable"]
    assert one["details"] == {"torch": "2.12, 2.13"}


def test_doctor_says_why_one_does_not_fit(
    driver: DriverMachine, wheels: Path, library: bytes
) -> None:
    quoted = driver.folder / "wheels"
    make_prebuilt(quoted, library, version="0.0.1")
    driver.environment |= {"PIP_FIND_LINKS": str(quoted)}
    make_torch(driver.folder / "unused")
    said = " ".join(driver.install("doctor").out.split())
    assert "is version 0.0.1, but this torchml-install is for" in said


@pytest.mark.parametrize("folder", ["/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"])
def test_the_loader_finds_the_systems_libraries(folder: str) -> None:
    assert is_of_system(folder)


@pytest.mark.parametrize("folder", ["/libs/torch/lib", "/library/kim/lib64", "/usr/local/lib"])
def test_it_has_to_be_told_of_folders_that_only_begin_alike(folder: str) -> None:
    assert not is_of_system(folder)
