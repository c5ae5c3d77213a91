"""LAMMPS, started as in the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ase import Atoms

from tests.support import DriverEnvironment
from tests.support.lammps_runs import Lammps, Static


@pytest.fixture
def lammps(driver_environment: DriverEnvironment, tmp_path: Path) -> Lammps:
    env = {**driver_environment.env, "OMP_NUM_THREADS": "1"}
    return Lammps(tmp_path, env)


@pytest.fixture(scope="session")
def published(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Callable[[], Atoms], str], Static]:
    """The published potential's results for a structure, on one rank; computed once."""
    known: dict[str, Static] = {}

    def compute(make: Callable[[], Atoms], model: str) -> Static:
        if make.__name__ not in known:
            folder = tmp_path_factory.mktemp("published")
            known[make.__name__] = Lammps(folder, driver_environment.env).static(make(), model)
        return known[make.__name__]

    return compute
