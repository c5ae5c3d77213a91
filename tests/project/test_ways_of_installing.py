"""Ways of installing other than a checkout's own command."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import CACHES, DRIVER, EXAMPLE, ROOT, DriverEnvironment, run
from tests.support.lammps_runs import Lammps
from tests.support.structures import (
    CUTOFF,
    ENERGY_TOLERANCE,
    EXAMPLE_MODEL,
    FORCE_TOLERANCE,
    rattled_crystal,
)


@pytest.fixture
def empty_collection(driver_environment: DriverEnvironment, tmp_path: Path) -> Mapping[str, str]:
    """An environment whose collection of drivers is new; the example model is installed.

    With a separate home: KIM refuses to install what the user's collection already has.
    """
    drivers, home = tmp_path / "drivers", tmp_path / "home"
    drivers.mkdir()
    home.mkdir()
    return {
        **driver_environment.env,
        "KIM_API_MODEL_DRIVERS_DIR": str(drivers),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(CACHES),
    }


def torch_root() -> Path:
    torch = importlib.util.find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    return Path(torch.origin).parent


def assert_it_works(env: Mapping[str, str], folder: Path) -> None:
    """LAMMPS finds the driver under env, which does not name libtorch's folder."""
    kim_only = {
        name: value
        for name, value in env.items()
        if name not in ("TORCH_ROOT", "Torch_ROOT", "LD_LIBRARY_PATH")
    }
    folder.mkdir()
    result = Lammps(folder, kim_only).static(rattled_crystal(), EXAMPLE_MODEL)
    assert result.energy == pytest.approx(-261.3538177342696, abs=ENERGY_TOLERANCE)
    assert abs(result.forces).max() == pytest.approx(5.903617675445, abs=FORCE_TOLERANCE)


def test_kim_s_own_command_installs_the_driver(
    empty_collection: Mapping[str, str], tmp_path: Path
) -> None:
    sources = tmp_path / "driver_src"
    shutil.copytree(ROOT / "driver_src", sources, ignore=shutil.ignore_patterns("build"))
    env = {**empty_collection, "TORCH_ROOT": str(torch_root())}
    command = ["kim-api-collections-management", "install", "environment", sources]
    run(command, env=env, cwd=tmp_path)
    assert (tmp_path / "drivers" / DRIVER).is_dir()
    assert_it_works(env, tmp_path / "run")


@pytest.mark.slow
def test_the_wheel_alone_builds_the_driver(
    empty_collection: Mapping[str, str], tmp_path: Path
) -> None:
    """Installed into a new environment, far from this checkout, without torch's Python."""
    pip = [sys.executable, "-m", "pip"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path / "wheel", ROOT], cwd=tmp_path)
    (wheel,) = (tmp_path / "wheel").glob("torchml_installer-*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    run([sys.executable, "-m", "venv", tmp_path / "venv"])
    bin_folder = tmp_path / "venv" / "bin"
    run([bin_folder / "python", "-m", "pip", "install", "--quiet", wheel])
    env = {**empty_collection, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    env.pop("PYTHONPATH", None)
    options = ("--no-python", "--torch-root", torch_root(), "--collection", "environment")
    run([bin_folder / "torchml-install", "driver", *options], env=env, cwd=tmp_path)
    assert_it_works(env, tmp_path / "run")


def test_the_command_packs_the_example_with_the_example_s_cutoff() -> None:
    from torchml_installer import quickstart

    source = (EXAMPLE / "stillinger_weber.py").read_text()
    written = re.search(r"^CUTOFF = (\S+)", source, re.MULTILINE)
    assert written is not None
    assert float(written[1]) == quickstart.CUTOFF == CUTOFF
    assert quickstart.MODEL_NAME == EXAMPLE_MODEL
    assert f'KIM_NAME = "{EXAMPLE_MODEL}"' in (EXAMPLE / "make_model.py").read_text()


def test_no_source_file_is_left_out_of_version_control_by_the_ignore_rules() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    ignored = run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--directory"], cwd=ROOT
    ).splitlines()
    ours = (
        "torchml_installer",
        "driver_src",
        "tests",
        "examples",
        "ci",
        "env_templates",
        "recipes",
    )
    sources = (".py", ".cpp", ".hpp", ".cmake", ".txt", ".in", ".data", ".silicon", ".sh", ".yaml")
    assert not [name for name in ignored if name.startswith(ours) and name.endswith(sources)]
