"""Decisions of ci/setup.sh and its templates; all other tests show what they install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ci.provision import DEFAULT_TORCH
from tests.support import DRIVER, ROOT, run

IGNORED = shutil.ignore_patterns("__pycache__", "build", ".*")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The parts of a checkout that determine a cache's key."""
    for folder in ("ci", "driver_src", "torchml_installer"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=IGNORED)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def key(checkout: Path, *options: str, **variables: str | Path) -> str:
    """The key of a cache, with these options and environment variables."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TORCHML_")}
    env = {**bare, **{name: str(value) for name, value in variables.items()}}
    return run([checkout / "ci/setup.sh", "--key", *options], env=env).strip()


def test_the_key_of_a_cache_changes_with_what_is_made(checkout: Path) -> None:
    before = key(checkout)
    options = (
        ["--mpi"],
        ["--no-graph"],
        ["--libdescriptor"],
        ["--torch", "torch==2.7.0"],
        ["--torch-index", "https://example.org/whl/cpu"],
        ["--no-driver"],
        ["--mpi", "--no-graph"],
    )
    keys = {before, *(key(checkout, *words) for words in options)}
    assert len(keys) == 1 + len(options)
    sources = ("driver_src/src/kim/units.cpp", "driver_src/cmake/FindLibtorch.cmake")
    rest = ("torchml_installer/driver/build.py", "ci/provision.py", "ci/setup.sh", "pyproject.toml")
    for name in (*sources, *rest):
        with (checkout / name).open("a") as file:
            file.write("\n")
        keys.add(key(checkout))
    assert len(keys) == 1 + len(options) + len(sources) + len(rest)


def test_the_key_of_a_cache_changes_with_the_python(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\necho Python 3.99.0\n")
    other.chmod(0o755)
    assert key(checkout, PYTHON=sys.executable) == key(checkout, PYTHON=Path(sys.executable))
    assert key(checkout, PYTHON=sys.executable) != key(checkout, PYTHON=other)


def test_the_key_of_a_cache_changes_with_the_folders_that_are_written_into_it(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(checkout, elsewhere, dirs_exist_ok=True)
    keys = {key(checkout), key(elsewhere), key(checkout, HOME=elsewhere)}
    assert len(keys) == 3


def test_the_key_of_a_cache_changes_with_the_system(checkout: Path, tmp_path: Path) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if os.geteuid() == 0:
        namespace = ["unshare", "--mount"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system lets nobody mount anything")
    keys = {key(checkout)}
    for system in ('ID=debian\nVERSION_ID="99"\n', 'ID=ubuntu\nVERSION_ID="24.04"\n'):
        release = tmp_path / "os-release"
        release.write_text(system)
        script = f'mount --bind "{release}" /etc/os-release && ci/setup.sh --key'
        keys.add(run([*namespace, "sh", "-c", script], cwd=checkout).strip())
    assert len(keys) == 3


def test_the_key_of_a_cache_does_not_change_with_anything_else(checkout: Path) -> None:
    before, without_driver = key(checkout), key(checkout, "--no-driver")
    (checkout / "driver_src/README.md").write_text("other words\n")
    (checkout / "tests").mkdir()
    (checkout / "tests/test_new.py").write_text("")
    cached = checkout / "torchml_installer/__pycache__"
    cached.mkdir()
    (cached / "cli.cpython-312.pyc").write_bytes(b"")
    (checkout / "driver_src/fuzz/new.cpp").write_text("")
    assert key(checkout) == before
    assert key(checkout, "--for", "test") == before
    assert key(checkout, TORCHML_TORCH=DEFAULT_TORCH) == before
    assert key(checkout, "--torch", DEFAULT_TORCH) == before
    assert key(checkout, "--mpi", "--no-graph") == key(checkout, "--no-graph", "--mpi")
    assert key(checkout, "--no-driver", "--libdescriptor") == without_driver
    (checkout / "driver_src/src/kim/units.cpp").write_text("")
    assert key(checkout, "--no-driver") == without_driver


def test_a_machine_without_python_is_told_what_to_install(checkout: Path) -> None:
    done = subprocess.run(
        [checkout / "ci/setup.sh"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": "python3.99"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "python3.99 was not found" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_a_python_that_makes_no_environments_is_told_what_to_install(
    checkout: Path, tmp_path: Path
) -> None:
    """Debian's, without python3-venv."""
    python = tmp_path / "python-without-venv"
    python.write_text('#!/bin/sh\n[ "$1" != -c ]\n')
    python.chmod(0o755)
    done = subprocess.run(
        [checkout / "ci/setup.sh"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"{python} with its module venv was not found" in done.stderr
    assert "python3-venv" in done.stderr


@pytest.mark.slow
def test_setup_makes_a_minimal_system_ready(tmp_path: Path) -> None:
    """From nothing to a driver that passes doctor and quickstart; downloads 0.5 GB."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("another root takes root and debootstrap")
    options = ["--torch", DEFAULT_TORCH, "--libdescriptor"]
    said = run([ROOT / "ci/clean_root.sh", *options], env={**os.environ, "TMPDIR": str(tmp_path)})
    assert f"Installed the driver {DRIVER} in /root/.kim-api/" in said
    assert re.search(r"^libdescriptor +ok ", said, re.MULTILINE)
    assert "Everything needed to build the driver is there" in said
    for simulator in ("LAMMPS", "ASE"):
        energies = re.search(rf"^ *{simulator} +energy \(eV\) +(\S+) +(\S+) ", said, re.MULTILINE)
        assert energies is not None
        assert float(energies[1]) == pytest.approx(float(energies[2]), abs=1e-9)
    assert list(tmp_path.iterdir()) == []


def test_options_that_do_not_exist_are_refused() -> None:
    for words in (["--mpl"], ["--torch"]):
        done = subprocess.run(
            [ROOT / "ci/setup.sh", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert words[0] in done.stderr


def test_the_action_knows_every_option_and_uses_every_input() -> None:
    action = (ROOT / "ci/github/action.yml").read_text()
    described = run([ROOT / "ci/setup.sh", "--help"])
    inputs = re.findall(
        r"^  ([\w-]+):$", action.partition("\ninputs:\n")[2].partition("\nruns:")[0], re.MULTILINE
    )
    assert set(inputs) == set(re.findall(r"inputs\.([\w-]+)", action))
    passed = set(re.findall(r"(?<=[(\s])(--[a-z-]+)", action.partition("\nruns:")[2]))
    assert passed <= set(re.findall(r"--[a-z-]+", described))
    assert {"--torch", "--torch-index", "--mpi", "--no-graph", "--libdescriptor"} <= passed
