"""A long run needs no more memory than a short one, and its steps no new pages."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tests.graph_models import Messages, write_graph_model
from tests.structures import CUTOFF
from tests.support import ROOT, DriverEnvironment, run
from tests.torch_models import Springs, write_model

pytestmark = pytest.mark.usefixtures("in_collection")

MODELS = {
    "neighbour lists": lambda folder: write_model(folder, Springs()),
    "graphs": lambda folder: write_graph_model(folder, Messages()),
}


def resident() -> int:
    """KiB of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def another_step(potential: Any, random: np.random.Generator) -> None:
    """Another number of particles, contributing particles and neighbours each time."""
    n = int(random.integers(20, 60))
    coordinates = random.uniform(0.0, random.uniform(6.0, 9.0), (n, 3))
    distances = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    near = (distances < 3.3) & (distances > 0.0)
    contributing = (random.random(n) < 0.7).astype(int)
    codes = np.zeros(n, dtype=int)
    potential.compute_particles(
        codes, coordinates, contributing, near.sum(axis=1), near.nonzero()[1]
    )


def growth(write: Callable[[Path], Path], folder: Path, steps: int) -> int:
    """KiB between the middle of a run and its end."""
    import torchml_driver

    potential = torchml_driver.Potential(write(folder))
    random = np.random.default_rng(4)
    for _ in range(steps // 2):
        another_step(potential, random)
    before = resident()
    for _ in range(steps - steps // 2):
        another_step(potential, random)
    return resident() - before


@pytest.mark.parametrize("write", MODELS.values(), ids=MODELS.keys())
def test_memory_does_not_grow_over_two_thousand_steps(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    """A megabyte would be a kilobyte a step; the least leak of a tensor is that much."""
    assert growth(write, tmp_path, 2000) < 1024


@pytest.mark.slow
@pytest.mark.parametrize("write", MODELS.values(), ids=MODELS.keys())
def test_memory_does_not_grow_over_a_hundred_thousand_steps(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    assert growth(write, tmp_path, 100_000) < 1024


def neighbour_lists(atoms: Atoms, reach: float) -> tuple[np.ndarray, np.ndarray]:
    import vesin

    found = vesin.NeighborList(cutoff=reach, full_list=True, sorted=True)
    first, second = found.compute(atoms.positions, np.eye(3), False, quantities="ij", copy=True)
    return np.bincount(first.astype(np.int64), minlength=len(atoms)), second.astype(np.int32)


def page_faults(model: str) -> list[int]:
    """By step, of forty of the same size."""
    import torchml_driver

    potential = torchml_driver.Potential(model)
    atoms = bulk("Si", a=5.43, cubic=True) * (5, 5, 5)
    atoms.rattle(0.05, seed=1)
    lists = neighbour_lists(atoms, CUTOFF)
    codes, contributing = np.zeros(len(atoms), dtype=np.int32), np.ones(len(atoms), dtype=np.int32)
    faults = []
    for _ in range(40):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        result = potential.compute_particles(codes, atoms.positions, contributing, *lists)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        del result
    return faults


def test_steps_of_one_size_fault_in_no_pages(driver_environment: DriverEnvironment) -> None:
    """Their tensors are large enough for the C library to return them at each step.

    In a process of its own: this one has memory left of models before.
    """
    program = "import sys, tests.driver.test_memory as t; print(t.page_faults(sys.argv[1]))"
    command = [sys.executable, "-c", program, driver_environment.packed]
    printed = run(command, env=dict(driver_environment.env), cwd=ROOT)
    faults = json.loads(printed.splitlines()[-1])
    assert sum(faults[:5]) > 100  # the tensors are not small
    assert np.median(faults[10:]) == 0
    assert np.mean(faults[10:]) < 5
