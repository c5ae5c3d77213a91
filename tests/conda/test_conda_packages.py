"""Our conda packages: built, solved, installed, used and removed for real, without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import pytest
import rattler
from rattler.exceptions import SolverError

from ci.conda_packages import NAMES
from tests.conda.conftest import ENERGY_PROGRAM, LONG_NAME, Channels, CondaEnvironment
from tests.support import DRIVER, EXAMPLE, ROOT, run
from tests.support.structures import ENERGY_TOLERANCE, EXAMPLE_MODEL

pytestmark = pytest.mark.slow

REFERENCE_ENERGY = -261.3538177342696


@dataclass(frozen=True)
class Installed:
    """An environment and its packages. before: its contents before ours were installed."""

    environment: CondaEnvironment
    others: Sequence[rattler.RepoDataRecord]
    before: Set[Path]


@pytest.fixture(scope="module")
def installed(channels: Channels, make_environment: Callable[[str], CondaEnvironment]) -> Installed:
    """All our packages, with everything to build another driver, in a long prefix."""
    made = make_environment(LONG_NAME)
    tools = ("cxx-compiler", "cmake", "ninja", "pip", "pybind11", "scikit-build-core", "pytorch")
    everything = channels.solve(*NAMES, *tools, "kimpy", "ase", "lammps")
    others = [record for record in everything if record.name.normalized not in NAMES]
    assert len(others) == len(everything) - len(NAMES)
    made.install(others)
    before = made.contents()
    made.install(everything)
    return Installed(made, others, before)


@pytest.fixture(scope="module")
def environment(installed: Installed) -> CondaEnvironment:
    return installed.environment


def test_doctor_is_green_with_an_empty_environment(environment: CondaEnvironment) -> None:
    report = json.loads(environment.run("torchml-install", "doctor", "--json"))
    assert report["ok"], report
    found = {finding["name"]: finding for finding in report["findings"]}
    prefix = str(environment.prefix)
    for name in ("torch", "kim-api", "cmake", "compiler", "libdescriptor"):
        assert found[name]["usable"], found[name]
        assert found[name]["where"].startswith(prefix), found[name]


def test_the_module_does_not_name_the_folder_of_its_build(environment: CondaEnvironment) -> None:
    names = {path.name for path in environment.contents() if "torchml_driver-" in str(path)}
    assert "RECORD" in names
    assert "direct_url.json" not in names


def test_python_s_own_tools_know_the_module_and_its_version(environment: CondaEnvironment) -> None:
    listed = environment.run("python", "-m", "pip", "list", "--format=json")
    versions = {entry["name"]: entry["version"] for entry in json.loads(listed.splitlines()[0])}
    project = (ROOT / "driver_src/pyproject.toml").read_text()
    assert f'version = "{versions["torchml-driver"]}"' in project
    assert f'version = "{versions["torchml-installer"]}"' in (ROOT / "pyproject.toml").read_text()


def test_kim_finds_the_driver_where_the_package_put_it(environment: CondaEnvironment) -> None:
    listed = environment.run("kim-api-collections-management", "list")
    system = listed[listed.index("System Collection") :]
    assert DRIVER in system
    assert EXAMPLE_MODEL in system


def test_ase_computes_the_reference_energy_through_kim(environment: CondaEnvironment) -> None:
    printed = environment.run("python", "-c", ENERGY_PROGRAM)
    assert float(printed.split()[-1]) == pytest.approx(REFERENCE_ENERGY, abs=ENERGY_TOLERANCE)


def test_lammps_of_the_same_environment_runs_the_model(environment: CondaEnvironment) -> None:
    shutil.copy(EXAMPLE / "silicon.data", environment.work)
    # Open MPI is the system's, and looks for ssh.
    script = EXAMPLE / "in.silicon"
    printed = environment.run("lmp_mpi", "-in", script, "-log", "none", PATH="/usr/bin:/bin")
    energy = re.search(r"^torchml-result energy (\S+)", printed, re.MULTILINE)
    assert energy is not None
    assert float(energy[1]) == pytest.approx(REFERENCE_ENERGY, abs=1e-6)


def test_libraries_come_from_the_environment_alone(environment: CondaEnvironment) -> None:
    folder = environment.prefix / "lib/openkim-models/model-drivers" / DRIVER
    maps = environment.run(
        "python",
        "-c",
        f"import ctypes; ctypes.CDLL({str(folder / 'libkim-api-model-driver.so')!r})\n"
        "print(open('/proc/self/maps').read())",
    )
    for library in ("libtorch_cpu.so", "libc10.so", "libkim-api.so"):
        loaded = set(re.findall(rf"(/\S*{re.escape(library)}\S*)", maps))
        assert loaded, library
        assert all(path.startswith(str(environment.prefix)) for path in loaded), loaded


def test_a_prefix_with_spaces_works(
    channels: Channels, make_environment: Callable[[str], CondaEnvironment]
) -> None:
    made = make_environment("my environment")
    made.install(channels.solve("torchml-installer", "torchml-example-models", "kimpy", "ase"))
    printed = made.run("python", "-c", ENERGY_PROGRAM)
    assert float(printed.split()[-1]) == pytest.approx(REFERENCE_ENERGY, abs=ENERGY_TOLERANCE)
    assert "version" in made.run("torchml-install", "--version")


def test_a_driver_never_meets_another_torch(channels: Channels) -> None:
    """conda refuses, and names both."""
    with pytest.raises(SolverError) as caught:
        channels.solve("torchml-driver", without=["libtorch"])
    message = str(caught.value)
    assert "torchml-driver 0.1.0 would require" in message
    assert "libtorch >=2." in message or "libtorch * cpu*" in message


def test_an_mpi_driver_brings_its_own_mpi_and_no_other(channels: Channels) -> None:
    solved = channels.solve("torchml-driver * *mpi_openmpi*")
    assert "openmpi" in {record.name.normalized for record in solved}
    with pytest.raises(SolverError, match="openmpi"):
        channels.solve("torchml-driver * *mpi_openmpi*", without=["openmpi"])


def test_who_asks_for_no_mpi_gets_the_driver_without(channels: Channels) -> None:
    (driver,) = (
        record
        for record in channels.solve("torchml-driver")
        if record.name.normalized == "torchml-driver"
    )
    assert "nompi" in str(driver.build)


def test_removing_our_packages_leaves_nothing(installed: Installed) -> None:
    """After all of the above, no file, folder or bytecode of the packages is left."""
    made = installed.environment
    for module in ("torchml_installer", "torchml_driver"):
        (package,) = made.prefix.glob(f"lib/python3.*/site-packages/{module}")
        made.run("python", "-c", f"import {module}")
        assert (package / "__pycache__").is_dir(), "it was used"
    made.install(installed.others)
    assert made.left_over(installed.before) == set()
    assert installed.before <= made.contents()


def test_building_the_packages_downloads_nothing(
    channels: Channels, offline_channel: Path, tmp_path: Path
) -> None:
    """Without a network; the only downloaded source, libdescriptor's wheel, is already there."""
    words = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to leave the network")
    output = tmp_path / "packages"
    shutil.copytree(channels.ours / "src_cache", output / "src_cache")
    variants = json.loads((offline_channel / "variants.yaml").read_text())
    narrowed = tmp_path / "variants.json"
    narrowed.write_text(json.dumps({**variants, "mpi": ["nompi"]}))
    command = [*words, sys.executable, "-m", "ci.conda_packages", output]
    options = ["--channel", channels.offline.as_uri(), "--variants", narrowed]
    said = run([*command, *options], cwd=ROOT)
    built = re.findall(r"^built and tested: \S+/(\S+)-[^-]+-[^-]+$", said, re.MULTILINE)
    assert built == list(NAMES)
