"""A driver that does not compute what is known never replaces the one in place."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.installer.driver_machine import DriverMachine
from tests.installer.synthetic_machines import Machine, make_torchscript, write
from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, toolchain
from torchml_installer.detect.kim_api import KimFinding
from torchml_installer.driver import driver_check, known_energy
from torchml_installer.driver.driver_check import require_known_energy, write_model
from torchml_installer.errors import WrongEnergyError
from torchml_installer.models.torchscript import inspect

NAME = "TorchML__MD_173118614730_001"


@pytest.fixture
def project(tmp_path: Path) -> CMakeProject:
    """Of a build with this machine's own KIM-API."""
    tools = toolchain(Places())
    if not (tools.kim.usable and tools.cmake.usable and shutil.which("c++")):
        pytest.skip("needs the KIM-API, CMake and a C++ compiler")
    return CMakeProject(BuildPlan(tools), tmp_path, tmp_path, tmp_path / "log")


def make_driver(folder: Path, source: str) -> Path:
    """A driver's folder with a library of that source."""
    text = write(folder / "driver.cpp", source)
    library = folder / NAME / "libkim-api-model-driver.so"
    library.parent.mkdir()
    subprocess.run(["c++", "-shared", "-fPIC", str(text), "-o", str(library)], check=True)
    return library.parent


def test_a_driver_that_kim_cannot_use_is_refused(project: CMakeProject, tmp_path: Path) -> None:
    driver = make_driver(tmp_path, "int nothing;\n")
    with pytest.raises(WrongEnergyError, match="in a test with two particles it failed"):
        require_known_energy(project, driver)


def test_a_driver_that_ends_its_process_ends_no_other(
    project: CMakeProject, tmp_path: Path
) -> None:
    driver = make_driver(tmp_path, "#include <cstdlib>\nstatic int x = (std::abort(), 1);\n")
    with pytest.raises(WrongEnergyError, match="signal 6"):
        require_known_energy(project, driver)


def test_the_model_is_torchscript_of_the_first_calling_convention(tmp_path: Path) -> None:
    write_model(tmp_path / "a.pt")
    expected = inspect(make_torchscript(tmp_path / "b.pt")).signature
    assert inspect(tmp_path / "a.pt").signature == expected


@pytest.mark.parametrize("place", range(7))
def test_what_is_no_number_is_wrong_wherever_it_stands(place: int) -> None:
    numbers = [known_energy.ENERGY, *(x for row in known_energy.FORCES for x in row)]
    answer = {"energy": numbers[0], "forces": [numbers[1:4], numbers[4:]]}
    assert driver_check.difference(answer) == ""
    numbers[place] = math.nan
    answer = {"energy": numbers[0], "forces": [numbers[1:4], numbers[4:]]}
    assert "gave wrong results" in driver_check.difference(answer)


def test_without_libkim_nothing_is_tried(
    project: CMakeProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(KimFinding, "library", None)
    require_known_energy(project, tmp_path)
    assert "installed untested" in capsys.readouterr().err


def test_the_command_keeps_the_driver_in_place_when_a_new_one_computes_nothing(
    project: CMakeProject, machine: Machine, tmp_path: Path
) -> None:
    driver = DriverMachine(machine)
    driver.environment["KIM_API_CMAKE_PREFIX_DIR"] = str(project.plan.tools.kim.where)
    driver.environment["KIM_API_PORTABLE_MODELS_DIR"] = str(tmp_path / "models")
    before = write(driver.collection / NAME / "libkim-api-model-driver.so", "the one before")
    made = make_driver(tmp_path, "int nothing;\n") / "libkim-api-model-driver.so"
    sources = driver.sources / "CMakeLists.txt"
    text = sources.read_text()
    place = '"${CMAKE_CURRENT_BINARY_DIR}/${name}"\n    DESTINATION'
    assert place in text
    text = text.replace(place, f'"{made}"\n    DESTINATION')
    sources.write_text(text.replace("RENAME library.so", "RENAME libkim-api-model-driver.so"))
    outcome = driver.install(*driver.command(), script=driver.script)
    assert outcome.code == WrongEnergyError.exit_code, outcome.err
    assert "a test with two particles" in outcome.err
    assert before.read_text() == "the one before"
    assert driver.installed() == [NAME]
