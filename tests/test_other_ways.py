"""Slurm's script and Spack's packages: they say what the project itself says."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ci.release.version import PLACES, version_of
from tests.support import ROOT, run
from torchml_installer.detect import cmake, kim_api, torch
from torchml_installer.python_module import project_facts

SPACK = ROOT / "recipes/spack/spack_repo/torchml"


def stated(project: Path, key: str) -> str:
    """A string of a project's pyproject.toml."""
    text = (project / "pyproject.toml").read_text()
    found = re.search(rf'^{key} = "(.*)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", ["env_templates/lammps.slurm", "recipes/container/install.sh"])
def test_scripts_are_in_a_shells_language(name: str) -> None:
    run(["bash", "-n", ROOT / name])


def test_slurms_script_sets_what_the_driver_reads() -> None:
    text = (ROOT / "env_templates/lammps.slurm").read_text()
    documented = (ROOT / "README.md").read_text()
    for name in re.findall(r"KIM_MODEL_\w+", text):
        assert f"`{name}`" in documented


# --- Spack ----------------------------------------------------------------------------------


class Directives(types.ModuleType):
    """In place of Spack's own modules: remembers what a package file says."""

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
