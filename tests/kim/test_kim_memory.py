"""A long run through KIM needs no more memory than a short one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.driver.test_memory import growth, many_particles, mappings, open_files, resident
from tests.support import SANITIZER_SETTINGS, DriverEnvironment, install_kim_model
from tests.support.compiled_models import stillinger_weber
from tests.support.kim_simulator import Particles, Simulator
from tests.support.structures import CUTOFF, EXAMPLE_MODEL, cluster
from tests.support.torch_models import parameter_text

pytestmark = pytest.mark.usefixtures("in_collection")


@pytest.mark.slow
def test_memory_does_not_grow_where_tensors_are_now_large_now_small() -> None:
    simulator, systems = Simulator(EXAMPLE_MODEL), many_particles(CUTOFF)

    def step() -> None:
        codes, coordinates, contributing, n_neigh, nlist = systems()
        rows = np.split(nlist, np.cumsum(n_neigh)[:-1])
        simulator.compute(Particles(["Si"] * len(codes), coordinates, contributing, rows))

    assert growth(step, 2_000) < 1024


def test_a_compiled_model_made_again_and_again_needs_no_more_memory(
    in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    """As with `clear` and `kim init` in LAMMPS."""
    files = {
        "model.pt2": stillinger_weber().read_bytes(),
        "model.param": parameter_text("model.pt2", cutoff=CUTOFF).encode(),
    }
    install_kim_model(in_collection.folder, "TorchML_made_again", files, tmp_path / "item")
    particles = Particles.of(cluster(), CUTOFF)

    def make() -> None:
        Simulator("TorchML_made_again").compute(particles)

    for _ in range(3):
        make()
    before = mappings(), open_files(), resident()
    for _ in range(40):
        make()
    assert mappings() - before[0] <= 2
    assert open_files() == before[1]
    assert SANITIZER_SETTINGS or resident() - before[2] < 4096  # they keep freed memory for a while
