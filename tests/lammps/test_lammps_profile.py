"""KIM_MODEL_PROFILE in LAMMPS: how each rank spent its time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import DriverEnvironment, install_kim_model
from tests.support.edge_models import Directional, edge_parameters
from tests.support.lammps_runs import Lammps, write_data
from tests.support.profiles import read_profiles
from tests.support.structures import EXAMPLE_MODEL, rattled_crystal
from tests.support.torch_models import torchscript

SCRIPT = f"""\
kim init {EXAMPLE_MODEL} metal
read_data data.test
mass 1 28.0855
kim interactions Si
fix move all nve
run 10
"""
STAGES = ["inputs", "copies", "forward", "backward", "outputs"]


def test_each_rank_prints_once_where_its_steps_went(lammps: Lammps) -> None:
    atoms = rattled_crystal() * (2, 2, 2)
    write_data(lammps.folder / "data.test", atoms, "metal")
    start = time.monotonic()
    printed = lammps.run(SCRIPT, 2, env={**lammps.env, "KIM_MODEL_PROFILE": "1"})
    passed = 1e3 * (time.monotonic() - start)
    profiles = read_profiles(printed)
    assert [profile.rank for profile in profiles] == [", rank 0", ", rank 1"]
    assert sum(profile.n_contributing for profile in profiles) == len(atoms)
    for profile in profiles:
        assert profile.n_steps == 11  # including the first configuration
        assert profile.n_particles > profile.n_contributing
        assert list(profile.stages) == STAGES
        assert min(profile.stages.values()) > 0.0
        assert profile.first_step < profile.whole < passed


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_model_on_edges_tells_what_became_of_its_images(
    ranks: int, lammps: Lammps, driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    name = "TorchML_edges_with_a_profile"
    text = edge_parameters("m.pt", elements="Si")
    files = {"m.param": text.encode(), "m.pt": torchscript(Directional(1))}
    install_kim_model(driver_environment.folder, name, files, tmp_path / "model")
    atoms = rattled_crystal()
    write_data(lammps.folder / "data.test", atoms, "metal")
    script = SCRIPT.replace(EXAMPLE_MODEL, name)
    printed = lammps.run(script, ranks, env={**lammps.env, "KIM_MODEL_PROFILE": "1"})
    profiles = read_profiles(printed)
    assert len(profiles) == ranks
    for profile in profiles:
        if ranks == 1:
            assert profile.graph.startswith(f"folded, {len(atoms)} nodes, ")
        else:
            assert profile.graph.startswith("staged, ")
            assert "several MPI ranks" in profile.graph
