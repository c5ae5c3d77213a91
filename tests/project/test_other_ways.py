"""Slurm's script and Spack's packages agree with the rest of the project."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ci.release.version import PLACES, version_of
from tests.support import ROOT, run
from torchml_installer.detect import cmake, kim_api, torch
from torchml_installer.driver.python_module import project_facts

SPACK = ROOT / "recipes/spack/spack_repo/torchml"


def stated(project: Path, key: str) -> str:
    """A string of a project's pyproject.toml."""
    text = (project / "pyproject.toml").read_text()
    found = re.search(rf'^{key} = "(.*)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_page_on_installing_names_every_way_and_each_is_there() -> None:
    text = (ROOT / "docs/install/index.md").read_text()
    section = text.partition("\n## Recipes and templates\n")[2].partition("\n## ")[0]
    named = re.findall(r"`(?:sbatch )?((?:ci|env_templates|recipes)/[\w./-]*)", section)
    assert all((ROOT / name).exists() for name in named), named
    container = {"recipes/container/Dockerfile", "recipes/container/torchml.def"}
    others = {"env_templates/lammps.slurm", "ci/github/action.yml", "ci/gitlab.yml"}
    assert container | others <= set(named)
    for environment in ROOT.glob("env_templates/environment-*.yml"):
        assert environment.name.removeprefix("environment") in section


@pytest.mark.parametrize("name", ["env_templates/lammps.slurm", "recipes/container/install.sh"])
def test_scripts_are_in_a_shells_language(name: str) -> None:
    run(["bash", "-n", ROOT / name])


def test_slurms_script_sets_what_the_driver_reads() -> None:
    text = (ROOT / "env_templates/lammps.slurm").read_text()
    documented = (ROOT / "docs/reference/environment-variables.md").read_text()
    for name in re.findall(r"KIM_MODEL_\w+", text):
        assert f"`{name}`" in documented


class Slurm:
    """A folder with an srun that prints its arguments and runs them, and LAMMPS in name only."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.write("srun", 'shift; echo "srun: $1 $OMP_NUM_THREADS"; exec "$@"')
        for name in ("bash", "sh"):
            (self.programs / name).symlink_to(f"/bin/{name}")

    def write(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, tasks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the script as sbatch does, within an allocation."""
        given = {"SLURM_CPUS_PER_TASK": "8", "SLURM_NTASKS": str(tasks)}
        return subprocess.run(
            ["/bin/bash", ROOT / "env_templates/lammps.slurm", *arguments],
            env={"PATH": str(self.programs), **given},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.parametrize(
    ("there", "taken"),
    [(["lmp_mpi"], "lmp_mpi"), (["lmp_mpi", "lmp_serial"], "lmp_mpi"), (["lmp", "lmp_mpi"], "lmp")],
)
def test_slurms_script_runs_lammps_by_the_name_that_it_has(
    there: list[str], taken: str, tmp_path: Path
) -> None:
    """conda-forge's LAMMPS has no program lmp."""
    slurm = Slurm(tmp_path)
    for name in there:
        slurm.write(name, f'echo "{name} $*"')
    done = slurm.run(4, "in.lammps")
    assert done.returncode == 0, done.stderr
    lines = [f"srun: {slurm.programs / taken} 8", f"{taken} -in in.lammps"]
    assert done.stdout.splitlines() == lines


def test_slurms_script_says_that_there_is_no_lammps(tmp_path: Path) -> None:
    done = Slurm(tmp_path).run(4, "in.lammps")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "PATH has none of lmp, lmp_mpi and lmp_serial. Load" in done.stderr


def test_slurms_script_does_not_run_the_same_on_every_rank(tmp_path: Path) -> None:
    slurm = Slurm(tmp_path)
    slurm.write("lmp_serial", 'echo "lmp_serial $*"')
    done = slurm.run(4, "in.lammps")
    assert done.returncode == 1
    assert "has no MPI: each of the 4 tasks would run the whole input" in done.stderr
    assert "lmp_serial -in in.lammps" in slurm.run(1, "in.lammps").stdout


# --- Spack ----------------------------------------------------------------------------------


class Directives(types.ModuleType):
    """Replaces Spack's modules: records the contents of a package file."""

    class CMakePackage:
        pass

    class PythonPackage:
        pass

    def __init__(self) -> None:
        super().__init__("spack.package")
        self.needs: dict[str, dict[str, Any]] = {}
        self.variants: list[str] = []
        self.versions: list[str] = []

    def depends_on(self, spec: str, **options: Any) -> None:
        self.needs[spec] = options

    extends = depends_on

    def version(self, number: str, **_options: Any) -> None:
        self.versions.append(number)

    def variant(self, name: str, **_options: Any) -> None:
        self.variants.append(name)

    def license(self, name: str) -> None:
        assert name == stated(ROOT, "license")

    def generator(self, name: str) -> None:
        assert name == "ninja"


@pytest.fixture
def directives(monkeypatch: pytest.MonkeyPatch) -> Iterator[Directives]:
    made = Directives()
    made.__all__ = [name for name in vars(Directives) if not name.startswith("_")]  # type: ignore[attr-defined]
    systems = "spack_repo.builtin.build_systems"
    for name in ("spack", "spack_repo", "spack_repo.builtin", systems):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name in ("spack.package", f"{systems}.cmake", f"{systems}.python"):
        monkeypatch.setitem(sys.modules, name, made)
    return made


def read(package: str) -> str:
    text = (SPACK / f"packages/{package}/package.py").read_text()
    exec(compile(text, package, "exec"), {"__name__": package})
    return text


def least(specs: dict[str, Any]) -> dict[str, str]:
    """The lowest version of each dependency that has one."""
    pairs = (spec.rstrip(":").partition("@") for spec in specs if "@" in spec)
    return {name: version for name, _, version in pairs}


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def required(requirements: list[str]) -> dict[str, str]:
    """["click>=8.1"] -> {"py-click": "8.1"}, as Spack calls it."""
    pairs = (re.fullmatch(r"([\w.-]+)>=([\d.]+)", text) for text in requirements)
    return {f"py-{found[1]}": found[2] for found in pairs if found}


def test_spacks_driver_has_the_projects_bounds(directives: Directives) -> None:
    text = read("torchml_driver")
    bounds = least(directives.needs)
    assert bounds["cmake"] == dotted(cmake.MINIMUM)
    assert bounds["kim-api"] == dotted(kim_api.MINIMUM)
    assert bounds["py-torch"] == dotted(torch.MINIMUM)
    assert bounds["python"] == stated(ROOT / "driver_src", "requires-python").removeprefix(">=")
    assert directives.versions == [version_of(ROOT)]
    options = (ROOT / "driver_src/CMakeLists.txt").read_text()
    for name in re.findall(r'"(TORCHML_\w+)"', text):
        assert name in options


def test_spacks_installer_has_the_projects_bounds(directives: Directives) -> None:
    read("torchml_installer")
    bounds = least(directives.needs)
    assert bounds.pop("python") == stated(ROOT, "requires-python").removeprefix(">=")
    build = (ROOT / "pyproject.toml").read_text().partition("requires = [")[2].partition("]")[0]
    assert bounds == required([*project_facts(ROOT).dependencies, build.strip('"')])
    assert directives.versions == [version_of(ROOT)]


def test_a_new_version_is_spacks_too() -> None:
    wanted = {path.relative_to(ROOT).as_posix() for path in SPACK.rglob("package.py")}
    assert wanted <= {place.path for place in PLACES}
