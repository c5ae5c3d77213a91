"""The driver's variants: each MPI on two ranks, another Python, and the conflicts they refuse."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("rattler", reason="py-rattler is not installed")
pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")

import rattler
from rattler.exceptions import SolverError

from tests.conda.conftest import ENERGY_PROGRAM, Channels, CondaEnvironment
from tests.conda.offline import other_python
from tests.support import DRIVER, EXAMPLE, ROOT, run, torchml_install
from tests.support.structures import CUTOFF, ENERGY_TOLERANCE, EXAMPLE_MODEL, rattled_crystal

pytestmark = pytest.mark.slow

REFERENCE_ENERGY = -261.3538177342696

#: Settings of Open MPI for a CI job: it runs as root, on few cores, and without ssh.
IN_CI = {
    "PATH": "/usr/bin:/bin",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_plm_rsh_agent": "",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}

_RANKS = f"""\
import json, re
from mpi4py import MPI
from ase.build import bulk
from ase.calculators.kim import KIM
atoms = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
atoms.rattle(0.1, seed=7)
atoms.calc = KIM("{EXAMPLE_MODEL}")
energies = MPI.COMM_WORLD.gather(float(atoms.get_potential_energy()))
loaded = re.findall(r"(/\\S+/lib(?:mpi|mpich|open-pal)\\.so\\S*)", open("/proc/self/maps").read())
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps([energies, sorted(set(loaded))]))
"""


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_two_ranks_of_the_environment_s_own_mpi_compute_the_reference_energy(
    mpi: str, channels: Channels, make_environment: Callable[[str], CondaEnvironment]
) -> None:
    made = make_environment("environment")
    driver = f"torchml-driver * *mpi_{mpi}*"
    made.install(channels.solve(driver, "torchml-example-models", "kimpy", "ase", "mpi4py"))
    library = f"lib/openkim-models/model-drivers/{DRIVER}/libkim-api-model-driver.so"
    needed = run(["ldd", made.prefix / library])
    assert ("libmpi.so.40" if mpi == "openmpi" else "libmpich.so.12") in needed
    python = made.prefix / "bin/python"
    printed = made.run("mpiexec", "-n", "2", python, "-c", _RANKS, **IN_CI)
    energies, loaded = json.loads(printed.splitlines()[-1])
    assert energies == pytest.approx(2 * [REFERENCE_ENERGY], abs=ENERGY_TOLERANCE)
    assert loaded
    assert all(path.startswith(str(made.prefix)) for path in loaded), loaded


def test_lammps_on_two_ranks_computes_the_reference_energy(
    channels: Channels, make_environment: Callable[[str], CondaEnvironment]
) -> None:
    """The channel's LAMMPS is Debian's, with Open MPI."""
    made = make_environment("environment")
    made.install(
        channels.solve("torchml-driver * *mpi_openmpi*", "torchml-example-models", "lammps")
    )
    shutil.copy(EXAMPLE / "silicon.data", made.work)
    words = ["-n", "2", made.prefix / "bin/lmp_mpi", "-in", EXAMPLE / "in.silicon", "-log", "none"]
    printed = made.run("mpiexec", *words, **IN_CI)
    assert "on 2 procs" in printed
    energy = next(line for line in printed.splitlines() if line.startswith("torchml-result energy"))
    assert float(energy.split()[2]) == pytest.approx(REFERENCE_ENERGY, abs=1e-6)


_OTHER_PYTHON = """\
import json, sys
import torchml_driver
from importlib.metadata import version
positions, cell = json.load(open("crystal.json"))
potential = torchml_driver.Potential("{model}")
result = potential.compute(["Si"] * len(positions), positions, cell, True)
print(json.dumps([sys.version_info[:2], version("torchml-driver"), result.energy]))
"""


def test_another_python_gets_the_driver_that_was_built_for_it(
    channels: Channels, make_environment: Callable[[str], CondaEnvironment], tmp_path: Path
) -> None:
    other = other_python()
    if other is None:
        pytest.skip("there is no other Python beside this one")
    made = make_environment("environment")
    solved = channels.solve("torchml-driver", f"python {other[0]}.*")
    (driver,) = (record for record in solved if record.name.normalized == "torchml-driver")
    assert f"py{other[0].replace('.', '')}_" in str(driver.build)
    made.install(solved)
    # That Python has no torch in the offline channel: the model is made with this one's.
    model = tmp_path / "SW_Si.pt"
    run([sys.executable, EXAMPLE / "make_model.py", "--output", model])
    options = ["--elements", "Si", "--cutoff", str(CUTOFF), "--name", EXAMPLE_MODEL]
    torchml_install("model", "pack", model, *options, env={"PATH": "/usr/bin:/bin"}, cwd=made.work)
    atoms = rattled_crystal()
    crystal = [atoms.positions.tolist(), atoms.cell.array.tolist()]
    (made.work / "crystal.json").write_text(json.dumps(crystal))
    printed = made.run("python", "-c", _OTHER_PYTHON.format(model=EXAMPLE_MODEL))
    version, distribution, energy = json.loads(printed.splitlines()[-1])
    assert ".".join(map(str, version)) == other[0]
    assert f'"{distribution}"' in (ROOT / "driver_src/pyproject.toml").read_text()
    assert energy == pytest.approx(REFERENCE_ENERGY, abs=ENERGY_TOLERANCE)


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_a_driver_never_meets_another_mpi(channels: Channels, mpi: str) -> None:
    solved = channels.solve(f"torchml-driver * *mpi_{mpi}*")
    names = {record.name.normalized for record in solved}
    assert {"openmpi", "mpich"} & names == {mpi}
    other = "mpich" if mpi == "openmpi" else "openmpi"
    with pytest.raises(SolverError, match=f"mpi ==1.0 {other}"):
        channels.solve(f"torchml-driver * *mpi_{mpi}*", other)


def test_a_driver_never_meets_another_kim_api(channels: Channels) -> None:
    with pytest.raises(SolverError, match=r"kim-api >=2\.3,<3"):
        channels.solve("torchml-driver", without=["kim-api"])


def test_a_package_built_with_the_driver_is_pinned_to_it(channels: Channels) -> None:
    """By the package's run exports."""
    for path in channels.ours.glob("linux-64/torchml-driver-*.conda"):
        exported = rattler.RunExportsJson.from_package_archive(path)
        assert exported.weak == ["torchml-driver >=0.1,<1.0a0"]


def test_where_there_is_a_gpu_the_driver_for_cuda_is_taken_with_its_torch(
    channels: Channels, make_environment: Callable[[str], CondaEnvironment]
) -> None:
    """Built and tested with a libtorch that is for CUDA in name only, on the CPU."""
    solved = channels.solve("torchml-driver", "torchml-example-models", "kimpy", "ase", cuda="12.9")
    builds = {record.name.normalized: str(record.build) for record in solved}
    assert builds["torchml-driver"].startswith("cuda_")
    assert builds["libtorch"].startswith("cuda129_")
    made = make_environment("environment")
    made.install(solved)
    printed = made.run("python", "-c", ENERGY_PROGRAM)
    assert float(printed.split()[-1]) == pytest.approx(REFERENCE_ENERGY, abs=ENERGY_TOLERANCE)


def test_without_a_gpu_the_driver_for_cuda_is_refused(channels: Channels) -> None:
    solved = channels.solve("torchml-driver")
    (driver,) = (record for record in solved if record.name.normalized == "torchml-driver")
    assert str(driver.build).startswith("cpu_")
    with pytest.raises(SolverError, match="__cuda"):
        channels.solve("torchml-driver * cuda_*")


@pytest.mark.parametrize(
    "other", ["libtorch * cpu*", "pytorch * cpu*", "torchml-driver * *mpi_openmpi*"]
)
def test_the_driver_for_cuda_never_meets_a_build_for_processors(
    other: str, channels: Channels
) -> None:
    assert channels.solve(other, cuda="12.9"), "there is one"
    with pytest.raises(SolverError):
        channels.solve("torchml-driver * cuda_*", other, cuda="12.9")
