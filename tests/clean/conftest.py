"""Fixtures: machines that lack something (see ``machines.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clean.machines import ENVIRONMENT, CleanMachine, Outcome, machine, seed
from tests.installer.driver_machine import DriverMachine
from tests.installer.synthetic_machines import Machine


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python environment of all machines, made once."""
    return seed(tmp_path_factory.mktemp("environment") / "python")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Iterator[CleanMachine]:
    """A machine with nothing that the driver needs, and without a network."""
    with machine(tmp_path_factory.mktemp("bare"), environment) as made:
        yield made


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Iterator[CleanMachine]:
    """A machine with this one's programs and libraries, and without a network."""
    with machine(tmp_path_factory.mktemp("equipped"), environment, bare=False) as made:
        made.share_tools()
        yield made


class DriverRuns(DriverMachine):
    """A small substitute for the driver's sources, built on a clean machine."""

    def __init__(self, clean: CleanMachine, folder: Path) -> None:
        self.clean = clean
        work = folder / "work"
        work.mkdir()
        clean.share(folder)
        names = ("PATH", "PYTHONPATH", "HOME", "LANG")
        kept = {name: clean.environment[name] for name in names}
        caches = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")}
        super().__init__(Machine(work, {**kept, **caches}))

    def words(self, *arguments: str) -> list[str]:
        """The command, with the substitute."""
        return [f"{ENVIRONMENT}/bin/python", str(self.script), *arguments]

    def run(self, *arguments: str, **settings: str) -> Outcome:
        chosen = {**self.environment, **settings}
        return self.clean.run(*self.words(*arguments), environment=chosen, cwd=str(self.folder))


@pytest.fixture
def driver(equipped: CleanMachine, tmp_path: Path) -> DriverRuns:
    return DriverRuns(equipped, tmp_path)
