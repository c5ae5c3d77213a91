"""A driver built with MPI gets its rank from MPI; others must rely on the launcher."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import DRIVER, ROOT, DriverEnvironment, run, torchml_install
from tests.support.lammps_runs import Lammps, static_script, write_data
from tests.support.structures import ENERGY_TOLERANCE, EXAMPLE_MODEL, rattled_crystal
from torchml_installer.errors import KnownProblemError

pytestmark = pytest.mark.slow

# A program that hides the launcher's variables from LAMMPS: some launchers set none.
HIDES = """\
#!/bin/sh
for name in $(env | sed -n 's/^\\(OMPI_COMM_WORLD[A-Z_]*\\)=.*/\\1/p'); do unset "$name"; done
exec "$@"
"""

# Only the first rank has a model.
ONE_RANK = """\
#include <mpi.h>

#include <KIM_SimulatorHeaders.hpp>
#include <cstdio>

int main(int n_words, char** words) {
    MPI_Init(&n_words, &words);
    int rank = 0, accepted = 0, failed = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) {
        KIM::Model* model = nullptr;
        failed = KIM::Model::Create(KIM::NUMBERING::zeroBased, KIM::LENGTH_UNIT::A,
                                    KIM::ENERGY_UNIT::eV, KIM::CHARGE_UNIT::e,
                                    KIM::TEMPERATURE_UNIT::K, KIM::TIME_UNIT::ps, words[1],
                                    &accepted, &model);
        if (!failed) {
            KIM::Model::Destroy(&model);
            std::printf("rank %d has a model\\n", rank);
        }
    }
    MPI_Finalize();
    return failed;
}
"""


@pytest.fixture(scope="module")
def with_mpi(
    driver_environment: DriverEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("with-mpi")
    env = {
        **driver_environment.env,
        "KIM_API_MODEL_DRIVERS_DIR": str(folder),
        "KIM_API_PORTABLE_MODELS_DIR": str(folder),
        "KIM_MODEL_MPI_AWARE": "yes",
    }
    torchml_install("driver", "--no-python", "--collection", "environment", env=env, cwd=folder)
    packed = driver_environment.packed
    torchml_install("model", "install", packed, "--collection", "environment", env=env, cwd=folder)
    return env


def profile(folder: Path, env: dict[str, str]) -> tuple[float, list[str]]:
    """The energy, and the headings of the profiles that two ranks print."""
    lammps = Lammps(folder, env)
    write_data(folder / "data.test", rattled_crystal(), "metal")
    (folder / "in.test").write_text(static_script(rattled_crystal(), EXAMPLE_MODEL, "metal"))
    hides = folder / "hides"
    hides.write_text(HIDES)
    hides.chmod(0o755)
    mpirun, lmp = shutil.which("mpirun"), shutil.which("lmp")
    assert mpirun is not None
    assert lmp is not None
    options = ("--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", "2")
    output = run(
        [mpirun, *options, hides, lmp, "-in", "in.test"],
        env={**env, "KIM_MODEL_PROFILE": "1"},
        cwd=lammps.folder,
    )
    found = re.search(r"^energy (\S+)$", output, re.MULTILINE)
    assert found is not None, output
    return float(found[1]), sorted(re.findall(r"^TorchML profile(.*?):", output, re.MULTILINE))


def test_ranks_are_known_without_the_launchers_variables(
    with_mpi: dict[str, str], driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    energy, heads = profile(tmp_path / "with", with_mpi)
    expected, unknown = profile(tmp_path / "without", dict(driver_environment.env))
    assert heads == [", rank 0", ", rank 1"]
    assert unknown == ["", ""]
    assert energy == pytest.approx(expected, abs=ENERGY_TOLERANCE)


def test_a_model_on_one_rank_alone_waits_for_no_other(
    with_mpi: dict[str, str], tmp_path: Path
) -> None:
    """mpirun's variables give its rank, which MPI would give only to all ranks together."""
    source, program = tmp_path / "one_rank.cpp", tmp_path / "one_rank"
    source.write_text(ONE_RANK)
    kim = shlex.split(run(["pkg-config", "--cflags", "--libs", "libkim-api"]))
    run(["mpicxx", "-std=c++17", "-o", program, source, *kim])
    options = ("--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", "2")
    printed = run(
        ["mpirun", *options, program, EXAMPLE_MODEL],
        env={**with_mpi, "KIM_MODEL_NUM_THREADS": "1"},
        cwd=tmp_path,
        timeout=120,
    )
    assert printed.split() == ["rank", "0", "has", "a", "model"]


def test_a_program_without_mpi_runs_it_too(with_mpi: dict[str, str], tmp_path: Path) -> None:
    program = (
        "from ase.calculators.kim import KIM\n"
        "from tests.support.structures import rattled_crystal\n"
        "atoms = rattled_crystal()\n"
        f"atoms.calc = KIM({EXAMPLE_MODEL!r})\n"
        "print('energy', atoms.get_potential_energy())\n"
    )
    env = {**with_mpi, "PYTHONPATH": f"{ROOT}{os.pathsep}{with_mpi.get('PYTHONPATH', '')}"}
    output = run([sys.executable, "-c", program], env=env, cwd=tmp_path)
    found = re.search(r"^energy (\S+)$", output, re.MULTILINE)
    assert found is not None, output
    assert float(found[1]) == pytest.approx(-261.3538177342696, abs=ENERGY_TOLERANCE)


def test_lammpss_own_mpi_is_taken_where_another_comes_first(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    """Debian's LAMMPS, which uses Open MPI, with MPICH's programs first on PATH."""
    programs = tmp_path / "mpich"
    programs.mkdir()
    for name in ("mpicxx", "mpirun"):
        program = shutil.which(f"{name}.mpich")
        assert program is not None, "python3 ci/provision.py --for test-all installs MPICH"
        (programs / name).symlink_to(program)
    env = {
        **driver_environment.env,
        "PATH": os.pathsep.join([str(programs), driver_environment.env["PATH"]]),
        "KIM_API_MODEL_DRIVERS_DIR": str(tmp_path / "drivers"),
    }
    command = [sys.executable, "-m", "torchml_installer", "driver", "--mpi", "--no-python"]
    command += ["--collection", "environment"]
    refused = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == KnownProblemError.exit_code, refused.stderr
    assert "was built with Open MPI, but" in refused.stderr
    assert f"{programs / 'mpicxx'} belongs to MPICH" in " ".join(refused.stderr.split())
    assert not (tmp_path / "drivers").exists()
    assert "repaired mixed-mpi: the build takes MPI from" in run([*command, "--fix"], env=env)
    library = tmp_path / "drivers" / DRIVER / "libkim-api-model-driver.so"
    needed = run(["readelf", "-d", library])
    assert "libmpi.so" in needed
    assert "libmpich" not in needed

    said = " ".join(run([sys.executable, "-m", "torchml_installer", "doctor"], env=env).split())
    assert "each process runs the whole simulation alone" in said
    right = re.search(r"Start it with (\S+)\. ", said)
    assert right is not None, said
    assert "(Open MPI)" in run([right[1], "--version"])
