"""KIM_MODEL_PROFILE in LAMMPS: how each rank spent its time."""

from __future__ import annotations

import time

from tests.support.lammps_runs import Lammps, write_data
from tests.support.profiles import read_profiles
from tests.support.structures import EXAMPLE_MODEL, rattled_crystal

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
