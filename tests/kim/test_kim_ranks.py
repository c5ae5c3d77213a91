"""If a model fails on one of several MPI ranks, no rank waits forever, and none is killed that
would not have waited."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import ROOT, DriverEnvironment, run
from tests.support.structures import EXAMPLE_MODEL

OPEN_MPI = ("mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np")

# The last rank has no model; the others wait for it.
PROGRAM = """\
#include <mpi.h>

#include <KIM_SimulatorHeaders.hpp>
#include <cstdio>
#include <cstdlib>

int main(int n_words, char** words) {
    MPI_Init(&n_words, &words);
    int rank = 0, size = 0, accepted = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (rank == size - 1) setenv("KIM_MODEL_EXECUTION_DEVICE", "nothing", 1);
    KIM::Model* model = nullptr;
    int failed = KIM::Model::Create(KIM::NUMBERING::zeroBased, KIM::LENGTH_UNIT::A,
                                    KIM::ENERGY_UNIT::eV, KIM::CHARGE_UNIT::e,
                                    KIM::TEMPERATURE_UNIT::K, KIM::TIME_UNIT::ps, words[1],
                                    &accepted, &model);
    int all_failed = 0;
    if (n_words > 2 || !failed) {
        MPI_Allreduce(&failed, &all_failed, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    }
    if (rank == 0) std::printf("%d of %d failed\\n", all_failed, size);
    MPI_Finalize();
    return 0;
}
"""

# mpi4py is not available everywhere; it opens MPI in the same way.
PYTHON_PROGRAM = """\
import ctypes, os
mpi = ctypes.CDLL("libmpi.so.40")
assert mpi.MPI_Init(None, None) == 0
rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
if rank == 1:
    os.environ["KIM_MODEL_EXECUTION_DEVICE"] = "nothing"
from ase.calculators.kim import KIM
from tests.support.structures import rattled_crystal
atoms = rattled_crystal()
try:
    atoms.calc = KIM("{model}")
    print("rank", rank, "has", round(atoms.get_potential_energy(), 6))
except Exception as error:
    print("rank", rank, "goes on without")
mpi.MPI_Finalize()
"""


def run_ranks(
    command: Sequence[str | Path], environment: DriverEnvironment, folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    path = f"{ROOT}{os.pathsep}{environment.env.get('PYTHONPATH', '')}"
    return subprocess.run(
        [str(word) for word in command],
        env={**environment.env, "PYTHONPATH": path, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("compiler", "mpirun"),
    [
        ("mpicxx", OPEN_MPI),
        pytest.param("mpicxx.mpich", ("mpirun.mpich", "-np"), marks=pytest.mark.slow),
    ],
    ids=["Open MPI", "MPICH"],
)
def test_a_failure_on_one_rank_ends_the_others_unless_the_program_handles_it(
    compiler: str, mpirun: Sequence[str], driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    assert shutil.which(compiler) is not None, f"ci/provision.py --for test-all installs {compiler}"
    source, program = tmp_path / "ranks.cpp", tmp_path / "ranks"
    source.write_text(PROGRAM)
    kim = shlex.split(run(["pkg-config", "--cflags", "--libs", "libkim-api"]))
    run([compiler, "-std=c++17", "-o", program, source, *kim])

    def start(ranks: int, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [*mpirun, str(ranks), program, EXAMPLE_MODEL, *words]
        return run_ranks(command, driver_environment, tmp_path, **variables)

    ended = start(2)
    assert ended.returncode != 0
    assert "ERROR on MPI rank 1 of 2: TorchML: " in ended.stderr
    assert "KIM_MODEL_EXECUTION_DEVICE" in ended.stderr
    assert "failed" not in ended.stdout

    handled = start(2, "handles it", KIM_MODEL_ON_ERROR="return")
    assert handled.returncode == 0, handled.stderr
    assert handled.stdout == "1 of 2 failed\n"
    assert "ERROR on MPI rank" not in handled.stderr

    alone = start(1, "handles it", KIM_MODEL_ON_ERROR="abort")
    assert alone.stdout == "1 of 1 failed\n"
    assert "ERROR on MPI rank" not in alone.stderr


def test_a_python_program_may_go_on_where_one_rank_fails(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    program = tmp_path / "ranks.py"
    program.write_text(PYTHON_PROGRAM.format(model=EXAMPLE_MODEL))
    command = [*OPEN_MPI, "2", sys.executable, program]
    handled = run_ranks(command, driver_environment, tmp_path)
    assert handled.returncode == 0, handled.stderr
    assert "rank 0 has -261.353818" in handled.stdout
    assert "rank 1 goes on without" in handled.stdout
    # MPI is found here, too, although Python hides its symbols from others.
    ended = run_ranks(command, driver_environment, tmp_path, KIM_MODEL_ON_ERROR="abort")
    assert ended.returncode != 0
    assert "ERROR on MPI rank 1 of 2: TorchML: " in ended.stderr


@pytest.mark.usefixtures("in_collection")
def test_a_setting_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.support.kim_simulator import Simulator

    monkeypatch.setenv("KIM_MODEL_ON_ERROR", "stop")
    with pytest.raises(RuntimeError):
        Simulator(EXAMPLE_MODEL)
    assert (
        "KIM_MODEL_ON_ERROR is 'stop'; it must be 'abort' (end the whole job) or 'return'"
        in (tmp_path / "kim.log").read_text()
    )
