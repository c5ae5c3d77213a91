"""The real driver passes the test that decides whether it replaces the installed one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import DRIVER, DriverEnvironment, driver_module, run
from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, toolchain
from torchml_installer.driver import known_energy
from torchml_installer.driver.driver_check import require_known_energy
from torchml_installer.errors import WrongEnergyError


@pytest.fixture
def project(tmp_path: Path) -> CMakeProject:
    return CMakeProject(BuildPlan(toolchain(Places())), tmp_path, tmp_path, tmp_path / "log")


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
    with pytest.raises(WrongEnergyError, match="gave wrong results"):
        require_known_energy(project, driver_environment.folder / DRIVER)


#: Mounts a separate file system in memory, with so many bytes left; then runs the command.
_FULL_FOLDER = """\
mount -t tmpfs -o size=1m none "$1"
head -c $((1048576 - $2)) /dev/zero > "$1/filler"
shift 2
exec "$@"
"""


@pytest.mark.parametrize("left", [0, 65536])
def test_it_is_tried_and_installed_where_temporary_files_find_no_room(
    driver_environment: DriverEnvironment, tmp_path: Path, left: int
) -> None:
    """Also the Python module, which pip unpacks in the folder of temporary files."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount")
    small, collection = tmp_path / "small", tmp_path / "collection"
    small.mkdir()
    env = {
        **driver_environment.env,
        "TMPDIR": str(small),
        "KIM_API_MODEL_DRIVERS_DIR": str(collection),
    }
    words = [sys.executable, "-m", "torchml_installer", "driver", "--collection", "environment"]
    start = [*unshare, "sh", "-ec", _FULL_FOLDER, "sh", small, str(left), *words]
    with driver_module.replacing():
        said = run([*start, "--fix"], env=env, cwd=tmp_path)
    assert "repaired no-space-for-temporaries" in said
    assert "untried" not in said
    assert "Installed the Python module" in said
    assert (collection / DRIVER).is_dir()
