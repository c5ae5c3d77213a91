"""What ci/setup.sh and the templates over it decide; what they install, every other test shows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT, run

IGNORED = shutil.ignore_patterns("__pycache__", "build", ".*")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The parts of a checkout that the key of a cache is made of."""
    for folder in ("ci", "driver_src", "torchml_installer"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=IGNORED)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def key(checkout: Path, *options: str) -> str:
    return run([checkout / "ci/setup.sh", "--key", *options]).strip()


def test_the_key_of_a_cache_changes_with_what_is_made(checkout: Path) -> None:
    before = key(checkout)
    options = (["--mpi"], ["--no-graph"], ["--libdescriptor"], ["--torch", "torch==2.7.0"])
    keys = {before, *(key(checkout, *words) for words in options)}
    assert len(keys) == 1 + len(options)
    for name in ("driver_src/src/kim/units.cpp", "ci/provision.py", "pyproject.toml"):
        with (checkout / name).open("a") as file:
            file.write("\n")
        keys.add(key(checkout))
    assert len(keys) == 4 + len(options)


def test_the_key_of_a_cache_does_not_change_with_anything_else(checkout: Path) -> None:
    before, without_driver = key(checkout), key(checkout, "--no-driver")
    (checkout / "driver_src/README.md").write_text("other words\n")
    (checkout / "tests").mkdir()
    (checkout / "tests/test_new.py").write_text("")
    cached = checkout / "torchml_installer/__pycache__"
    cached.mkdir()
    (cached / "cli.cpython-312.pyc").write_bytes(b"")
    assert key(checkout) == before
    (checkout / "driver_src/src/kim/units.cpp").write_text("")
    assert key(checkout, "--no-driver") == without_driver


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
