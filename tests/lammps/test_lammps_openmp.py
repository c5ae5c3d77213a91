"""LAMMPS with its OPENMP package, which sizes arrays by the number of OpenMP threads at its start,
and indexes them by the number at each call.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support import KEPT, DriverEnvironment, run
from tests.support.keeping import locked
from tests.support.lammps_runs import static_script, write_data
from tests.support.structures import EXAMPLE_MODEL, rattled_crystal

pytestmark = pytest.mark.slow

#: eV, for rattled_crystal(), from KIM's published Stillinger-Weber potential.
ENERGY = -261.3538177342696


@pytest.fixture(scope="module")
def lmp() -> Path:
    """Debian's LAMMPS, built with the package, which Debian's own build lacks; kept."""
    release = dict(
        line.rstrip().split("=", 1) for line in Path("/etc/os-release").read_text().splitlines()
    )
    if release.get("ID") != "debian":
        pytest.skip("LAMMPS's sources come from Debian")
    place = KEPT / f"lammps-openmp-{release['VERSION_CODENAME']}"
    program = place / "lmp"
    with locked(place):
        if not program.exists():
            build_lammps(place, release["VERSION_CODENAME"], program)
    return program


def build_lammps(place: Path, codename: str, program: Path) -> None:
    """Builds the program from that Debian release's sources, in the folder ``place``."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "lists" / "partial").mkdir(parents=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (place / "sources.list").write_text(
        f"deb-src [signed-by={keys}] http://deb.debian.org/debian {codename} main\n"
    )
    options = (
        *("-o", f"Dir::Etc::SourceList={place / 'sources.list'}"),
        *("-o", "Dir::Etc::SourceParts=/dev/null"),
        *("-o", f"Dir::State::Lists={place / 'lists'}"),
    )
    run(["apt-get", *options, "update"], cwd=place)
    run(["apt-get", *options, "source", "--download-only", "lammps"], cwd=place)
    (archive,) = place.glob("lammps_*.orig.tar.*")
    source = place / "source"
    source.mkdir()
    parts = ("*/cmake", "*/src")
    run(["tar", "xf", archive, "-C", source, "--strip-components", "1", "--wildcards", *parts])
    packages = ("-DPKG_KIM=ON", "-DPKG_OPENMP=ON", "-DBUILD_MPI=ON", "-DBUILD_OMP=ON")
    without = [f"-DWITH_{name}=OFF" for name in ("JPEG", "PNG", "GZIP", "FFMPEG")]
    build = place / "build"
    flags = ("-DDOWNLOAD_KIM=OFF", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -w")
    run(["cmake", "-S", source / "cmake", "-B", build, *packages, *without, *flags])
    run(["cmake", "--build", build, "--target", "lmp", "--parallel"])
    (build / "lmp").rename(program)
    for folder in (source, build, place / "lists"):
        shutil.rmtree(folder)


@pytest.mark.parametrize("model_threads", [None, 1, 2])
@pytest.mark.parametrize(("ranks", "threads"), [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 3)])
def test_the_energy_is_right_with_any_number_of_ranks_and_threads(
    ranks: int,
    threads: int,
    model_threads: int | None,
    lmp: Path,
    driver_environment: DriverEnvironment,
    tmp_path: Path,
) -> None:
    atoms = rattled_crystal()
    write_data(tmp_path / "data.test", atoms, "metal")
    # Again after the list has been rebuilt, with the model long in use.
    again = 'run 0\nprint "energy $(pe:%.15g)"\n'
    (tmp_path / "in.test").write_text(static_script(atoms, EXAMPLE_MODEL, "metal") + again)
    env = dict(driver_environment.env)
    env.pop("OMP_NUM_THREADS", None)
    if model_threads is not None:
        env["KIM_MODEL_NUM_THREADS"] = str(model_threads)
    launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
    package = ["-sf", "omp", "-pk", "omp", str(threads)]
    command = [*launcher, "-np", str(ranks), lmp, "-in", "in.test", *package]
    output = run(command, env=env, cwd=tmp_path)
    energies = [float(value) for value in re.findall(r"^energy (\S+)$", output, re.MULTILINE)]
    assert energies == pytest.approx([ENERGY, ENERGY], rel=1e-12)
