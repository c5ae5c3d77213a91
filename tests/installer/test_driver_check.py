"""A driver that does not compute what is known never replaces the one in place."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.installer.made_up import make_torchscript, write
from torchml_installer import driver_check
from torchml_installer.cmake_project import CMakeProject
from torchml_installer.detect import Places, toolchain
from torchml_installer.driver_check import require_known_energy, write_model
from torchml_installer.errors import WrongEnergyError
from torchml_installer.models.torchscript import inspect

NAME = "TorchML__MD_173118614730_001"


@pytest.fixture
def project(tmp_path: Path) -> CMakeProject:
    """Of a build with this machine's own KIM-API."""
    tools = toolchain(Places())
    if not tools.kim.usable or not shutil.which("c++"):
        pytest.skip("needs the KIM-API and a C++ compiler")
    return CMakeProject(tools, tmp_path, tmp_path, tmp_path / "log")


def make_driver(folder: Path, source: str) -> Path:
    """A driver's folder with a library of that source."""
    text = write(folder / "driver.cpp", source)
    library = folder / NAME / "libkim-api-model-driver.so"
    library.parent.mkdir()
    subprocess.run(["c++", "-shared", "-fPIC", str(text), "-o", str(library)], check=True)
    return library.parent


def test_a_driver_that_kim_cannot_use_is_refused(project: CMakeProject, tmp_path: Path) -> None:
    driver = make_driver(tmp_path, "int nothing;\n")
    with pytest.raises(WrongEnergyError, match="with a model of two particles it fails"):
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


def test_without_libkim_nothing_is_tried(
    project: CMakeProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(driver_check, "_library", lambda _prefix: None)
    require_known_energy(project, tmp_path)
    assert "installed untried" in capsys.readouterr().err
