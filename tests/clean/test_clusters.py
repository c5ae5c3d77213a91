"""Properties of clusters: file servers without locks, noexec on /tmp, conda for everything."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clean.conftest import DriverRuns
from tests.clean.machines import ENVIRONMENT, HOME, REPOSITORY, USER, CleanMachine, machine
from tests.clean.no_locks import ARCHITECTURES
from tests.installer.driver_machine import DEFAULT
from tests.installer.synthetic_machines import make_kim, make_program, make_torch


@pytest.mark.skipif(platform.machine() not in ARCHITECTURES, reason="knows no number of flock here")
def test_a_file_server_without_locks_is_no_obstacle(driver: DriverRuns) -> None:
    words = driver.words(*driver.command())
    without = [words[0], f"{REPOSITORY}/tests/clean/no_locks.py", *words]
    outcome = driver.clean.run(*without, environment=driver.environment).plain()
    assert outcome.code == 0, outcome.err
    assert driver.installed() == [DEFAULT]
    assert "(No locks available)" in outcome.err
    assert "set XDG_CACHE_HOME to a folder on a local disk" in outcome.err


def test_what_is_loaded_is_not_built_where_nothing_may_be_run(bare: CleanMachine) -> None:
    bare.memory_disk("/noexec", "1m", user=USER, options=",noexec")
    bare.give("/var/tmp", mode=0o777)
    program = "from torchml_installer.support.paths import *; print(plain_temporary_parent())"
    words = [f"{ENVIRONMENT}/bin/python", "-c", program]

    def chosen(**settings: str) -> str:
        told = {**bare.environment, **settings}
        return bare.run(*words, user=USER, environment=told).out.strip()

    assert chosen() == "/tmp"
    assert chosen(TMPDIR="/noexec") == "/tmp"
    bare.administer("mount -o remount,noexec $root/tmp")
    assert chosen(TMPDIR="/noexec") == "/var/tmp"
    bare.administer("mount -o remount,exec $root/tmp")


def test_private_files_stay_private_and_links_are_followed(driver: DriverRuns) -> None:
    """umask 077; a home that is a link to another disk."""
    clean = driver.clean
    clean.memory_disk("/disk/someone", "8m")
    clean.administer("ln -sfn /disk/someone $root/home/linked")
    settings = {**driver.environment, "HOME": "/home/linked"}
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        del settings[name]
    words = " ".join(f"'{word}'" for word in driver.command())
    script = f"umask 077; exec {ENVIRONMENT}/bin/python '{driver.script}' {words}"
    for _ in range(2):
        outcome = clean.run("/bin/sh", "-c", script, environment=settings).plain()
        assert outcome.code == 0, outcome.err
    folder = clean.path("/disk/someone/.cache/torchml-install")
    assert folder.stat().st_mode & 0o077 == 0
    assert list(clean.path("/disk/someone/.local/share/torchml-install/receipts").iterdir())
    removed = clean.install("uninstall", "--all", environment=settings).plain()
    assert removed.code == 0, removed.err
    assert not folder.exists()
    assert driver.installed() == []


@pytest.fixture(scope="module")
def conda(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Iterator[CleanMachine]:
    """A bare machine with an active conda environment that contains Python and everything else."""
    with machine(tmp_path_factory.mktemp("conda"), environment) as made:
        prefix = f"{HOME}/conda envs/my env"
        inside = made.path(prefix)
        inside.mkdir(parents=True)
        made.administer(f'cp -a "$root{ENVIRONMENT}/." "$root{prefix}"')
        (inside / "conda-meta").mkdir()
        libraries = next(inside.glob("lib/python3*/site-packages"))
        make_torch(libraries / "torch", "2.10.0")
        make_kim(inside)
        make_program(
            inside / "bin/x86_64-conda-linux-gnu-c++", "c++ (conda-forge gcc 14.3.0) 14.3.0"
        )
        make_program(inside / "bin/cmake", "cmake version 3.31.2")
        make_program(inside / "bin/ninja", "1.12.1")
        made.environment["CONDA_PREFIX"] = prefix
        made.environment["PATH"] = f"{prefix}/bin:{made.environment['PATH']}"
        yield made


def found(clean: CleanMachine, *words: str, **settings: str) -> dict[str, dict[str, str]]:
    prefix = clean.environment["CONDA_PREFIX"]
    start = [f"{prefix}/bin/python", "-m", "torchml_installer", "doctor", "--json", *words]
    outcome = clean.run(*start, user=USER, environment={**clean.environment, **settings}).plain()
    return {item["name"]: item for item in json.loads(outcome.out)["findings"]}


NEEDED = ("torch", "kim-api", "compiler", "cmake", "build-tool")


def test_an_environment_of_conda_alone_has_all_it_needs(conda: CleanMachine) -> None:
    prefix = conda.environment["CONDA_PREFIX"]
    for settings in ({}, {"CONDA_PREFIX": "", "PATH": "/usr/bin:/bin"}):
        facts = found(conda, **settings)
        for name in NEEDED:
            assert facts[name]["usable"], facts[name]
            assert facts[name]["where"].startswith(prefix), facts[name]


def test_conda_s_is_taken_and_added_to_where_the_system_has_the_same(conda: CleanMachine) -> None:
    prefix = conda.environment["CONDA_PREFIX"]
    make_kim(conda.path("/usr"))
    make_torch(conda.path("/opt/libtorch"))
    make_program(conda.path("/usr/bin/c++"), "c++ (Debian 12.2.0-14) 12.2.0")
    for settings in ({}, {"CONDA_PREFIX": "", "PATH": "/usr/bin:/bin"}):
        facts = found(conda, **settings)
        for name in NEEDED:
            assert facts[name]["where"].startswith(prefix), facts[name]
    make_program(conda.path(f"{prefix}/bin/conda"), "")
    words = [f"{prefix}/bin/python", "-m", "torchml_installer", "deps", "--dry-run"]
    outcome = conda.run(*words, user=USER).plain()
    assert outcome.code == 0, outcome.err
    (command,) = (line for line in outcome.out.splitlines() if not line.startswith("#"))
    start = f"'{prefix}/bin/conda' install -y -p '{prefix}' -c conda-forge "
    assert command == f"{start}numpy python-vesin pybind11 scikit-build-core"
