"""The number of threads that compute in LAMMPS's ranks, observed from outside.

Torch keeps a pool of further threads, which sleep; only those count that have used a processor.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import DriverEnvironment
from tests.support.lammps_runs import write_data
from tests.support.structures import EXAMPLE_MODEL, rattled_crystal

SCRIPT = f"""\
kim init {EXAMPLE_MODEL} metal
read_data data.test
mass 1 28.0855
kim interactions Si
fix move all nve
run 150
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


def busy_threads(process: Path) -> int:
    """Threads that have used a processor for a few hundredths of a second."""
    count = 0
    for task in (process / "task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        count += int(fields[11]) + int(fields[12]) >= 2  # of user and system, in ticks
    return count


def enter(group: Path) -> None:
    (group / "cgroup.procs").write_text("0")  # the process that writes


def threads(
    environment: DriverEnvironment,
    folder: Path,
    ranks: int,
    group: Path | None = None,
    **variables: str,
) -> int:
    """The largest number of threads with which any rank computed; group: their control group."""
    write_data(folder / "data.test", rattled_crystal() * (4, 4, 4), "metal")
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
        preexec_fn=None if group is None else lambda: enter(group),
    )
    most = 0
    while process.poll() is None:
        for rank in ranks_of(process.pid):
            with contextlib.suppress(OSError):  # gone
                most = max(most, busy_threads(rank))
        time.sleep(0.02)
    assert process.returncode == 0
    return most


def available_cores() -> int:
    """Fewer than the machine has, if a control group has only some of them or a quota of time."""
    count = os.cpu_count() or 1
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, controllers, group = line.split(":", 2)
        for controller in controllers.split(","):  # version 2 has one hierarchy, without a name
            top = Path("/sys/fs/cgroup", controller)
            for parent in (Path(group), *Path(group).parents):
                count = min([count, *_limits(top / parent.relative_to("/"))])
    return count


def _limits(group: Path) -> Iterator[int]:
    """The numbers of cores that a control group may use, from the files of either version."""

    def words(name: str) -> list[str]:
        file = group / name
        return file.read_text().split() if file.is_file() else []

    for told in (words("cpu.max"), words("cpu.cfs_quota_us") + words("cpu.cfs_period_us")):
        quota, period = told or ("max", "")
        if quota not in ("max", "-1"):
            yield max(1, math.ceil(int(quota) / int(period)))
    for listed in (*words("cpuset.cpus.effective"), *words("cpuset.cpus")):
        ranges = [part.split("-") for part in listed.split(",")]
        yield sum(int(ends[-1]) - int(ends[0]) + 1 for ends in ranges)


def test_a_rank_has_its_share_of_the_cores_or_what_the_user_says(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    assert threads(driver_environment, tmp_path, 2, KIM_MODEL_NUM_THREADS="1") == 1
    cores = os.cpu_count() or 1
    assert threads(driver_environment, tmp_path, 2, KIM_MODEL_NUM_THREADS=str(cores)) == cores
    assert threads(driver_environment, tmp_path, 2, OMP_NUM_THREADS="2") == 2
    share = max(1, min(len(os.sched_getaffinity(0)), available_cores() // 2))
    assert threads(driver_environment, tmp_path, 2) == share


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_single_rank_has_all_cores(driver_environment: DriverEnvironment, tmp_path: Path) -> None:
    cores = min(len(os.sched_getaffinity(0)), available_cores())
    assert threads(driver_environment, tmp_path, 1) == cores


@pytest.fixture
def time_of_one_core() -> Iterator[Path]:
    """A control group with a quota, as containers have it."""
    whole = Path("/sys/fs/cgroup")
    first = (whole / "cpu/cpu.cfs_quota_us").exists()
    group = (whole / "cpu" if first else whole) / f"torchml-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as problem:
        pytest.skip(f"no control group can be made here: {problem}")
    try:
        if first:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text("100000")
        elif (group / "cpu.max").exists():
            (group / "cpu.max").write_text("100000 100000")
        else:
            pytest.skip("control groups have no quotas here")
        yield group
    finally:
        group.rmdir()


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_rank_in_a_container_has_its_share_of_the_containers_time(
    time_of_one_core: Path, driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    assert threads(driver_environment, tmp_path, 1, time_of_one_core) == 1
