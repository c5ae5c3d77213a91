"""Runs of the tests do not disturb each other, neither at the same time nor after one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.keeping import kept

#: A test that needs a kept result that takes long to make. `slow` makes it wait in the middle.
_TEST = """
import time
from tests.support import KEPT
from tests.support.keeping import kept

def make(path):
    left = path.parent / "temporary"
    left.mkdir()
    path.write_text("half")
    with (KEPT / "begun").open("a") as begun:
        begun.write("once\\n")
    while (KEPT / "slow").exists():
        time.sleep(0.01)
    path.write_text("whole")
    left.rmdir()
    assert [found.name for found in path.parent.iterdir()] == [path.name]

def test_what_is_kept_is_whole():
    assert kept(KEPT / "model", make).read_text() == "whole"
"""


class Runs:
    """Runs of that test, all with the same caches."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "test_kept.py"
        self.file.write_text(_TEST)
        self.env = {**os.environ, "XDG_CACHE_HOME": str(folder), "PYTHONPATH": str(ROOT)}
        self.kept = folder / "torchml-tests"
        self.kept.mkdir()
        self.slow = self.kept / "slow"
        self.begun = self.kept / "begun"

    def start(self) -> subprocess.Popen[str]:
        options = ["-c", os.devnull, "-p", "no:cacheprovider", "--rootdir", str(self.file.parent)]
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *options, str(self.file)],
            env=self.env,
            cwd=self.file.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def started(self) -> subprocess.Popen[str]:
        """A run that is in the middle of making the result."""
        self.slow.touch()
        run = self.start()
        while not self.begun.exists():
            assert run.poll() is None, run.communicate()[0]
            time.sleep(0.01)
        return run

    def require_success(self, run: subprocess.Popen[str]) -> None:
        said, _ = run.communicate()
        assert run.returncode == 0, said


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_killed_does_not_fail_the_next_one(end: int, runs: Runs) -> None:
    killed = runs.started()
    killed.send_signal(end)
    killed.communicate()
    assert killed.returncode != 0
    assert not (runs.kept / "model").exists()
    runs.slow.unlink()
    runs.require_success(runs.start())
    assert runs.begun.read_text().count("once") == 2
    assert not list(runs.kept.glob(".partial-*"))


def test_runs_at_once_make_what_is_kept_once(runs: Runs) -> None:
    first = runs.started()
    others = [runs.start() for _ in range(2)]
    time.sleep(1.0)  # long enough for some to reach it
    runs.slow.unlink()
    for run in (first, *others):
        runs.require_success(run)
    assert runs.begun.read_text() == "once\n"


def test_what_cannot_be_made_is_not_kept(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        kept(tmp_path / "folder", fail)
    assert not (tmp_path / "folder").exists()


#: Uses what is kept in the given state, until its input ends.
_USER = """
import sys
from pathlib import Path
from tests.support.keeping import in_use

place, wanted = Path(sys.argv[1]), sys.argv[2]
in_use(
    place,
    lambda: place.exists() and place.read_text() == wanted,
    lambda: place.write_text(wanted),
)
print("ready", flush=True)
sys.stdin.read()
assert place.read_text() == wanted
"""


def test_a_run_with_other_sources_waits_for_those_that_use_what_is_kept(tmp_path: Path) -> None:
    def use(wanted: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _USER, str(tmp_path / "packages"), wanted],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def is_ready(user: subprocess.Popen[str]) -> bool:
        assert user.stdout is not None
        return user.stdout.readline() == "ready\n"

    first, alike = use("one"), use("one")
    assert is_ready(first)
    assert is_ready(alike)
    other = use("two")
    time.sleep(0.5)
    for user in (first, alike):
        user.communicate()  # ends its input
        assert user.returncode == 0
    assert is_ready(other)
    other.communicate()
    assert other.returncode == 0
