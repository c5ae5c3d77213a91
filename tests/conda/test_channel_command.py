"""The messages of ``python -m tests.conda.channel`` if it cannot make a channel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import ROOT

pytest.importorskip("rattler", reason="py-rattler is not installed")
pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")

from tests.conda.channel.__main__ import fingerprint
from tests.conda.channel.debian import installed_versions
from tests.conda.offline import SOURCES, other_python, sources_digest


def refused(folder: Path, before: Sequence[str | Path] = (), isolated: bool = False) -> str:
    """Its message, in one line. before: words before the command. isolated: by a bare Python."""
    python = [sys.executable, *(["-S"] if isolated else [])]
    done = subprocess.run(
        [*before, *python, "-m", "tests.conda.channel", folder],
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


@pytest.mark.parametrize("package", ["libkim-api2", "libstdc++6", "mpich", "lammps", "xxd"])
def test_another_version_of_a_debian_package_makes_another_channel(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(["numpy"], (), installed_versions())
    assert fingerprint(["numpy"], (), installed_versions()) == before
    dpkg_query = shutil.which("dpkg-query")
    program = tmp_path / "dpkg-query"
    program.write_text(f'#!/bin/sh\n{dpkg_query} "$@" | sed "s/^{package} /&9/"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert fingerprint(["numpy"], (), installed_versions()) != before


def test_another_python_is_one_that_was_released(tmp_path: Path) -> None:
    """pyenv has folders such as 3.14-dev and 3.13t-dev, and dangling links."""
    for name in ("2.7.18", "3.14-dev", "3.13t-dev", "3.9.18", "3.12.1", "3.11.7", "miniforge3"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin/python").write_text("")
    (tmp_path / "3.10.2").mkdir()
    assert other_python(tmp_path / "3.11.7", 11) == ("3.12", tmp_path / "3.12.1/bin/python")
    assert other_python(tmp_path / "3.12.1", 12) == ("3.11", tmp_path / "3.11.7/bin/python")


@pytest.mark.parametrize("changed", SOURCES)
def test_packages_are_built_anew_when_what_they_are_made_of_changes(
    changed: str, tmp_path: Path
) -> None:
    (tmp_path / "stamp").write_text("of a channel")
    for name in SOURCES:
        path = tmp_path / name if (ROOT / name).is_file() else tmp_path / name / "file"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    before = sources_digest(tmp_path, tmp_path)
    path = tmp_path / changed
    (path / "file" if path.is_dir() else path).write_text("after")
    assert sources_digest(tmp_path, tmp_path) != before


def test_the_sources_of_the_packages_are_what_the_build_takes() -> None:
    """The files that pyproject.toml names, and those that the recipes' scripts read."""
    tomllib = pytest.importorskip("tomllib", reason="this Python reads no TOML")
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = build["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = [*wheel["packages"], *wheel["force-include"], build["project"]["readme"]]
    assert {*named, *build["project"]["license-files"], "pyproject.toml"} <= set(SOURCES)
