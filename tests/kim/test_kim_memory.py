"""A long run through KIM needs no more memory than a short one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.driver.test_memory import growth, many_particles
from tests.kim_simulator import Particles, Simulator
from tests.structures import CUTOFF, EXAMPLE_MODEL

pytestmark = pytest.mark.usefixtures("in_collection")


@pytest.mark.slow
def test_memory_does_not_grow_where_tensors_are_now_large_now_small() -> None:
    simulator, systems = Simulator(EXAMPLE_MODEL), many_particles(CUTOFF)

    def step() -> None:
        codes, coordinates, contributing, n_neigh, nlist = systems()
        rows = np.split(nlist, np.cumsum(n_neigh)[:-1])
        simulator.compute(Particles(["Si"] * len(codes), coordinates, contributing, rows))

    assert growth(step, 2_000) < 1024
