"""The Slurm script runs LAMMPS, one GPU per rank, in a one-node Slurm with GPUs in name only."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.support import ROOT
from tests.support.lammps_runs import Lammps, read_static, static_script
from tests.support.structures import (
    ENERGY_TOLERANCE,
    EXAMPLE_MODEL,
    FORCE_TOLERANCE,
    rattled_crystal,
)

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "env_templates/lammps.slurm"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
_CONFIGURATION = """\
ClusterName=here
SlurmctldHost=localhost
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=pmix
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName=localhost CPUs={cores} Gres=gpu:2
PartitionName=all Nodes=localhost Default=YES State=UP
"""
_GPUS = "NodeName=localhost Name=gpu File=/dev/null\nNodeName=localhost Name=gpu File=/dev/zero\n"


@dataclass(frozen=True)
class Slurm:
    """A running Slurm; its commands find it by ``env``."""

    folder: Path
    env: dict[str, str]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **self.env}
        return subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("localhost", 0))
        return int(opened.getsockname()[1])


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"{', '.join(missing)} missing (`apt install slurm-wlm munge`)")
    if os.getuid() != 0:
        pytest.skip("Slurm's daemons run as root")
    if (os.cpu_count() or 1) < 2:
        pytest.skip("two ranks want two cores")
    folder = tmp_path / "slurm"
    (folder / "state").mkdir(parents=True)
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o400)
    ports = (free_port(), free_port())
    text = _CONFIGURATION.format(folder=folder, ports=ports, cores=os.cpu_count())
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text(_GPUS)
    made = Slurm(tmp_path, {"SLURM_CONF": str(folder / "slurm.conf")})
    files = {"key-file": "key", "socket": "sock", "pid-file": "pid", "seed-file": "seed"}
    munge = [f"--{option}={folder}/munge.{suffix}" for option, suffix in files.items()]
    with ExitStack() as stack:
        for command in (
            ["munged", "--force", "--foreground", *munge],
            ["slurmctld", "-D"],
            ["slurmd", "-D"],
        ):
            log = stack.enter_context((folder / f"{command[0]}.log").open("w"))
            daemon = stack.enter_context(
                subprocess.Popen(
                    command, env={**os.environ, **made.env}, stdout=log, stderr=subprocess.STDOUT
                )
            )
            stack.callback(daemon.terminate)
        latest = time.monotonic() + 60
        while "idle" not in made.run("sinfo", "--noheader").stdout:
            logs = "".join(path.read_text() for path in folder.glob("*.log"))
            assert time.monotonic() < latest, logs
            time.sleep(0.2)
        yield made


#: Replaces the script's settings, for this node.
SMALLER = ("--ntasks-per-node=2", "--cpus-per-task=1", "--output=job.txt", "--wait")


def test_ranks_of_a_job_compute_what_one_without_slurm_does(slurm: Slurm, lammps: Lammps) -> None:
    atoms = rattled_crystal()
    alone = lammps.static(atoms, EXAMPLE_MODEL)
    slurm.env.update(lammps.env, KIM_MODEL_EXECUTION_DEVICE="cpu")
    (slurm.folder / "in.silicon").write_text(static_script(atoms, EXAMPLE_MODEL, "metal", ["Si"]))
    done = slurm.run("sbatch", *SMALLER, "--gpus-per-task=0", SCRIPT, "in.silicon")
    printed = (slurm.folder / "job.txt").read_text()
    assert done.returncode == 0, done.stderr + printed
    (grid,) = re.findall(r"(\d) by (\d) by (\d) MPI processor grid", printed)
    assert sorted(grid) == ["1", "1", "2"]
    together = read_static(printed, slurm.folder / "dump.test")
    assert together.energy == pytest.approx(alone.energy, abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(together.forces, alone.forces, rtol=0, atol=FORCE_TOLERANCE)


def test_each_rank_is_shown_a_gpu_of_its_own(slurm: Slurm, tmp_path: Path) -> None:
    program = tmp_path / "bin/lmp"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1 $2" = "-log none" ] || echo "rank $SLURM_LOCALID: $CUDA_VISIBLE_DEVICES,'
        ' $KIM_MODEL_EXECUTION_DEVICE, $OMP_NUM_THREADS threads"\n'
        'if [ "$1 $SLURM_PROCID" = "-log 0" ]; then echo "Nprocs = 2,   Nthreads = 1"; fi\n'
    )
    program.chmod(0o755)
    slurm.env["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    slurm.run("sbatch", *SMALLER, SCRIPT, "in.none")
    printed = (slurm.folder / "job.txt").read_text().splitlines()
    ranks = sorted(line for line in printed if line.startswith("rank"))
    assert ranks == ["rank 0: 0, cuda, 1 threads", "rank 1: 1, cuda, 1 threads"]


@pytest.mark.parametrize("way", ["none", "pmi2"])
def test_tasks_that_do_not_find_each_other_end_the_job_before_anything_is_computed(
    slurm: Slurm, lammps: Lammps, way: str
) -> None:
    """Debian's Open MPI supports only PMIx: otherwise, each task is a separate run."""
    slurm.env.update(lammps.env, KIM_MODEL_EXECUTION_DEVICE="cpu", SLURM_MPI_TYPE=way)
    script = static_script(rattled_crystal(), EXAMPLE_MODEL, "metal", ["Si"])
    (slurm.folder / "in.silicon").write_text(script)
    done = slurm.run("sbatch", *SMALLER, SCRIPT, "in.silicon")
    printed = (slurm.folder / "job.txt").read_text()
    assert done.returncode != 0, printed
    assert "2 separate runs instead of one" in printed or "does not start under srun" in printed
    assert "srun --mpi=list" in printed
    assert "SLURM_MPI_TYPE=pmix" in printed
    assert not (slurm.folder / "dump.test").exists()


def test_without_an_input_it_says_how_it_is_called(slurm: Slurm) -> None:
    done = slurm.run("sbatch", *SMALLER, SCRIPT)
    assert done.returncode != 0
    assert "sbatch lammps.slurm in.lammps" in (slurm.folder / "job.txt").read_text()
