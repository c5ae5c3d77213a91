"""Packages that pip installed are removed again, wherever they are, such as in a user's site."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clean.conftest import DriverRuns
from tests.clean.machines import ENVIRONMENT, HOME, USER, CleanMachine, Outcome, machine
from tests.installer.driver_machine import DEFAULT
from tests.installer.synthetic_machines import make_program, make_wheel, write
from torchml_installer.errors import PythonModuleError

#: What `driver` adds to the substitute for its Python module.
MODULE = """\
if(TORCHML_PYTHON)
  install(FILES __init__.py COMPONENT python DESTINATION torchml_driver)
endif()
"""
#: Computes only the known energy.
STAND_IN = """\
import math
class Potential:
    def __init__(self, model, **options):
        pass
    def compute(self, species, places):
        self.energy = {energy}
        self.forces = [[-self.energy, 0, 0], [self.energy, 0, 0]]
        return self
"""


def pack_installed(folder: Path, name: str) -> set[str]:
    """Makes wheels of a package that is installed here, and of its requirements.

    Returns their names in the form of folders.
    """
    made = set()
    todo = [name]
    for name in todo:  # grows as it goes
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another version of Python
        members = [
            file
            for file in package.files or ()
            if file.suffix != ".pyc" and ".." not in file.parts and file.name != "RECORD"
        ]
        (notes,) = {file.parts[0] for file in members if file.name == "METADATA"}
        made.add(notes.partition("-")[0])
        wheel = folder / f"{notes.removesuffix('.dist-info')}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for file in members:
                archive.write(package.locate_file(file), file.as_posix())
            archive.writestr(
                f"{notes}/RECORD", "".join(f"{file.as_posix()},,\n" for file in members)
            )
        needs = [line for line in package.requires or () if "extra ==" not in line]
        needs = [re.match(r"[A-Za-z0-9._-]*", line)[0] for line in needs]  # type: ignore[index]
        todo += [needed for needed in needs if needed not in todo]
    return made


class Cluster:
    """An administrator's Python, as from `module load python`: users may not write to its packages,
    and there is no virtual environment."""

    def __init__(self, clean: CleanMachine, folder: Path) -> None:
        self.clean = clean
        self.driver = DriverRuns(clean, folder)
        self.wheels = folder / "wheels"
        self.builders: set[str] = set()
        base = clean.path(f"{ENVIRONMENT}/bin/python").readlink()
        version = base.resolve().name
        packages = f"{ENVIRONMENT}/lib/{version}/site-packages"
        self.driver.words = lambda *words: [str(base), str(self.driver.script), *words]
        self.driver.environment |= {
            "PYTHONPATH": f"{self.driver.environment['PYTHONPATH']}:{packages}",
            "HOME": HOME,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            del self.driver.environment[name]
        self.driver.environment["KIM_API_MODEL_DRIVERS_DIR"] = f"{HOME}/collection"

    def run(self, *words: str) -> Outcome:
        driver = self.driver
        told = driver.clean.run(*driver.words(*words), user=USER, environment=driver.environment)
        return told.plain()

    def packages(self) -> set[str]:
        """The names in the user's site."""
        sites = self.clean.path(HOME).glob(".local/lib/python3*/site-packages/*.dist-info")
        return {path.name.partition("-")[0] for path in sites}


@pytest.fixture
def cluster(tmp_path: Path, environment: Path) -> Iterator[Cluster]:
    spec = importlib.util.find_spec("cmake")
    if spec is None or spec.origin is None:
        pytest.skip("needs pip's cmake")
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    with machine(tmp_path / "machine", environment, bare=False) as clean:
        made = Cluster(clean, folder)
        real = clean.share(Path(spec.origin).parent) / "data/bin/cmake"
        start = (
            f"import os, sys\nreal = {str(real)!r}\n"
            "def main():\n    os.execv(real, [real, *sys.argv[1:]])\n"
        )
        programs = {"cmake": "cmake:main"}
        make_wheel(made.wheels, "cmake", "9.0", {"cmake/__init__.py": start}, programs=programs)
        members = {"vesin/__init__.py": ""}
        make_wheel(made.wheels, "vesin", "0.9", members, requires=["helper; python_version > '3'"])
        make_wheel(made.wheels, "helper", "1.0", {"helper.py": ""})
        make_wheel(made.wheels, "pybind11", "3.0", {"pybind11/__init__.py": ""})
        made.builders = pack_installed(made.wheels, "scikit-build-core")
        for place in ("usr/bin/cmake", "usr/local/bin/cmake"):
            clean.path(place).unlink(missing_ok=True)
        yield made


def test_a_user_s_own_site_is_found_at_once_and_emptied_again(cluster: Cluster) -> None:
    words = "cmake,vesin,pybind11,scikit-build-core"
    outcome = cluster.run("deps", "--with", words, "--provider", "pip")
    assert outcome.code == 0, outcome.err
    brought = {"cmake", "vesin", "helper", "pybind11", "scikit_build_core"}
    # The machine's Python has some of what scikit-build-core needs.
    assert brought <= cluster.packages() <= brought | cluster.builders
    report = json.loads(cluster.run("doctor", "--json").out)
    found = {item["name"]: item["where"] for item in report["findings"]}
    assert found["cmake"] == f"{HOME}/.local/bin/cmake"
    assert f"{HOME}/.local/bin" in cluster.run("env", "-o", "-").out

    with (cluster.driver.sources / "CMakeLists.txt").open("a") as file:
        file.write(MODULE)
    module = cluster.driver.sources / "__init__.py"
    write(module, STAND_IN.format(energy="math.exp(-1.5)"))
    outcome = cluster.run("driver", "--python", "--collection", "environment")
    assert outcome.code == 0, outcome.err
    assert "torchml_driver" in cluster.packages()
    # Another module that gave wrong results does not replace it; the driver is in place.
    write(module, STAND_IN.format(energy="1.0"))
    outcome = cluster.run("driver", "--python", "--collection", "environment")
    assert outcome.code == PythonModuleError.exit_code, outcome.err
    assert "it gave wrong results: 1.0 eV instead of 0.22" in outcome.err
    assert f"The driver itself is installed in {HOME}/collection/{DEFAULT}" in outcome.err
    (place,) = cluster.clean.path(HOME).glob(".local/lib/*/site-packages/torchml_driver")
    assert "math.exp" in (place / "__init__.py").read_text()
    listed = cluster.run("uninstall")
    assert f"installed: driver {DEFAULT}" in listed.out
    assert "installed: python-module torchml-driver" in listed.out
    assert "  helper 1.0\n" in listed.out

    outcome = cluster.run("uninstall", "--all")
    assert outcome.code == 0, outcome.err
    assert "kept" not in outcome.err
    assert cluster.packages() == set()
    assert not list(cluster.clean.path(HOME).glob(".local/lib/python3*/site-packages/*"))
    assert not cluster.clean.path(f"{HOME}/.local/bin/cmake").exists()
    assert cluster.run("uninstall").out == "torchml-install has not installed anything.\n"


def test_an_old_cmake_is_replaced_without_touching_any_python(cluster: Cluster) -> None:
    """Even if pip may not install anything (PEP 668)."""
    make_program(cluster.clean.path("/usr/local/bin/cmake"), "cmake version 3.16.3")
    real = next(cluster.wheels.glob("cmake-*"))
    with_data = {"cmake/data/bin/cmake": "#!/bin/sh\necho cmake version 9.0\n"}
    make_wheel(cluster.wheels, "cmake", "9.1", with_data)
    real.unlink()
    base = Path(cluster.driver.words()[0]).resolve()
    marker = base.parent.parent / "lib" / base.name / "EXTERNALLY-MANAGED"
    write(cluster.clean.path(marker), "[externally-managed]\nError=no\n")
    outcome = cluster.run("doctor", "--fix", "--json")
    found = {item["name"]: item for item in json.loads(outcome.out)["findings"]}
    program = f"{HOME}/.cache/torchml-install/cmake/cmake/data/bin/cmake"
    assert (found["cmake"]["where"], found["cmake"]["usable"]) == (program, True), outcome.err
    assert cluster.packages() == set()


class TestReceipts:
    """In a virtual environment."""

    @pytest.fixture
    def venv(self, driver: DriverRuns) -> DriverRuns:
        """With the user's own packages."""
        driver.clean.administer(f'rm -rf $root/srv/env; cp -a "$root{ENVIRONMENT}/." $root/srv/env')
        wheels = driver.folder / "wheels"
        make_wheel(wheels, "vesin", "0.9", {"vesin/__init__.py": ""}, requires=["helper", "theirs"])
        make_wheel(wheels, "helper", "1.0", {"helper.py": ""})
        make_wheel(wheels, "theirs", "1.0", {"theirs.py": ""})
        make_wheel(wheels, "later", "1.0", {"later.py": ""}, requires=["helper"])
        driver.environment |= {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        self.pip(driver, "install", "theirs")
        return driver

    @staticmethod
    def pip(driver: DriverRuns, *words: str) -> str:
        start = ["/srv/env/bin/python", "-m", "pip", *words]
        outcome = driver.clean.run(*start, environment=driver.environment)
        assert outcome.code == 0, outcome.err
        return outcome.out

    @staticmethod
    def install(driver: DriverRuns, *words: str) -> Outcome:
        start = ["/srv/env/bin/python", "-m", "torchml_installer", *words]
        return driver.clean.run(*start, environment=driver.environment).plain()

    def test_what_was_there_before_stays(self, venv: DriverRuns) -> None:
        assert self.install(venv, "deps", "--with", "vesin", "--provider", "pip").code == 0
        would = self.install(venv, "uninstall", "--all", "--dry-run", "--json")
        (removal,) = json.loads(would.out)
        assert removal["kind"] == "python-packages"
        assert removal["removed"] == ["helper 1.0", "vesin 0.9"]
        assert "helper" in self.pip(venv, "list")
        assert self.install(venv, "uninstall", "python-packages").code == 0
        left = self.pip(venv, "list")
        assert "theirs" in left
        assert "helper" not in left
        assert "vesin" not in left
        nothing = "torchml-install has not installed anything.\n"
        assert self.install(venv, "uninstall").out == nothing

    def test_what_others_need_or_have_changed_stays(self, venv: DriverRuns) -> None:
        assert self.install(venv, "deps", "--with", "vesin", "--provider", "pip").code == 0
        self.pip(venv, "install", "later")
        make_wheel(venv.folder / "wheels", "vesin", "1.0", {"vesin/__init__.py": ""})
        self.pip(venv, "install", "--upgrade", "vesin")
        outcome = self.install(venv, "uninstall", "--all")
        assert outcome.code == 0, outcome.err
        assert "kept vesin: it is version 1.0 now; version 0.9 was installed" in outcome.err
        assert "kept helper: it is needed by later" in outcome.err
        assert {"helper", "later", "vesin"} <= set(self.pip(venv, "list").split())
