"""How many threads the ranks of LAMMPS have, seen from outside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.lammps_runs import write_data
from tests.structures import EXAMPLE_MODEL, rattled_crystal
from tests.support import DriverEnvironment

SCRIPT = f"""\
kim init {EXAMPLE_MODEL} metal
read_data data.test
mass 1 28.0855
kim interactions Si
fix move all nve
run 60
"""


def ranks_of(mpirun: int) -> list[Path]:
    """The processes that mpirun started, in /proc."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            stat = (process / "stat").read_text()
        except OSError:  # gone
            continue
        name, fields = stat[stat.index("(") + 1 :].rsplit(")", 1)
        if name == "lmp" and int(fields.split()[1]) == mpirun:
            found.append(process)
    return found


def threads(environment: DriverEnvironment, folder: Path, ranks: int, **variables: str) -> int:
    """The most threads that any rank ever had."""
    write_data(folder / "data.test", rattled_crystal() * (2, 2, 2), "metal")
    (folder / "in.test").write_text(SCRIPT)
    mpirun, lmp = shutil.which("mpirun"), shutil.which("lmp")
    assert mpirun is not None
    assert lmp is not None
    ours = ("OMP_NUM_THREADS", "KIM_MODEL_NUM_THREADS")
    env = {name: value for name, value in environment.env.items() if name not in ours}
    options = ("--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", str(ranks))
    process = subprocess.Popen(
        [mpirun, *options, lmp, "-in", "in.test"],
        env={**env, **variables},
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    most = 0
    while process.poll() is None:
        for rank in ranks_of(process.pid):
            try:
                count = re.search(r"^Threads:\s+(\d+)", (rank / "status").read_text(), re.MULTILINE)
            except OSError:
                continue
            most = max(most, int(count[1]) if count else 0)
        time.sleep(0.02)
    assert process.returncode == 0
    return most


def test_a_rank_has_its_share_of_the_cores_or_what_the_user_says(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    alone = threads(driver_environment, tmp_path, 2, KIM_MODEL_NUM_THREADS="1")
    assert threads(driver_environment, tmp_path, 2, KIM_MODEL_NUM_THREADS="3") == alone + 2
    assert threads(driver_environment, tmp_path, 2, OMP_NUM_THREADS="2") == alone + 1
    share = max(1, min(len(os.sched_getaffinity(0)), (os.cpu_count() or 1) // 2))
    assert threads(driver_environment, tmp_path, 2) == alone + share - 1


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_single_rank_has_all_cores(driver_environment: DriverEnvironment, tmp_path: Path) -> None:
    alone = threads(driver_environment, tmp_path, 1, KIM_MODEL_NUM_THREADS="1")
    assert threads(driver_environment, tmp_path, 1) == alone + len(os.sched_getaffinity(0)) - 1
