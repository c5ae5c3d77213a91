"""What ``python -m ci.conda_channel`` says where it cannot make a channel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import ROOT

pytest.importorskip("rattler", reason="py-rattler is not installed")


def refused(folder: Path, before: Sequence[str | Path] = (), isolated: bool = False) -> str:
    """What it says, in one line, started by `before`; isolated: by a Python without packages."""
    python = [sys.executable, *(["-S"] if isolated else [])]
    done = subprocess.run(
        [*before, *python, "-m", "ci.conda_channel", folder],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: ")
    return said


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    place = tmp_path / "channel"
    place.write_text("precious")
    assert str(place) in refused(place)
    assert place.read_text() == "precious"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    words = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount")
    # Room for the folder itself and the lock in it.
    mounting = 'mount -t tmpfs -o nr_inodes=2 none "$1" && shift && exec "$@"'
    said = refused(tmp_path, [*words, "sh", "-c", mounting, "sh", tmp_path])
    assert "no space left" in said.lower()
    assert str(tmp_path) in said


def test_it_names_what_it_is_made_with(tmp_path: Path) -> None:
    said = refused(tmp_path / "channel", isolated=True)
    assert "python3 ci/provision.py --for test" in said
    assert not (tmp_path / "channel").exists()
