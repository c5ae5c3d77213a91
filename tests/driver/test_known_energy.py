"""The real driver passes the test that decides whether it replaces the one in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import DRIVER, DriverEnvironment
from torchml_installer import known_energy
from torchml_installer.cmake_project import CMakeProject
from torchml_installer.detect import Places, toolchain
from torchml_installer.driver_check import require_known_energy
from torchml_installer.errors import WrongEnergyError


@pytest.fixture
def project(tmp_path: Path) -> CMakeProject:
    return CMakeProject(toolchain(Places()), tmp_path, tmp_path, tmp_path / "log")


def test_the_driver_computes_what_is_known(
    driver_environment: DriverEnvironment,
    project: CMakeProject,
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_known_energy(project, driver_environment.folder / DRIVER)
    assert "untried" not in capsys.readouterr().err


def test_a_driver_that_computes_something_else_is_refused(
    driver_environment: DriverEnvironment, project: CMakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_energy, "ENERGY", 1.0)
    with pytest.raises(WrongEnergyError, match="computes wrongly"):
        require_known_energy(project, driver_environment.folder / DRIVER)
