"""The Python module becomes a wheel that pip takes, and is left out where pip may not act."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.installer.synthetic_machines import REPOSITORY, write
from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, python_packages, toolchain
from torchml_installer.detect.python_packages import pybind11_wanted
from torchml_installer.driver import python_module
from torchml_installer.errors import PythonModuleError
from torchml_installer.support.process import run_logged

PROJECT = """\
[build-system]
requires = ["scikit-build-core"]
build-backend = "scikit_build_core.build"
[project]
name = "torchml-driver"
version = "1.2.3"
dependencies = ["numpy", "vesin>=0.4"]
[tool.scikit-build]
wheel.packages = []
install.components = ["python"]
"""
CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.18)
project(module LANGUAGES CXX)
add_library(engine MODULE engine.cpp)
target_compile_definitions(engine PRIVATE CHOSEN="${CHOSEN}")
install(TARGETS engine COMPONENT python DESTINATION torchml_driver)
install(DIRECTORY torchml_driver COMPONENT python DESTINATION .)
install(FILES CMakeLists.txt DESTINATION . RENAME other)
"""


def test_version_and_dependencies_are_those_of_the_drivers_project() -> None:
    facts = python_module.project_facts(REPOSITORY / "driver_src")
    assert facts.version
    assert {"numpy", "vesin"} <= set(facts.dependency_names())


@pytest.fixture
def built(tmp_path: Path) -> CMakeProject:
    """A project with a library, a module of it and something that is no part of the module, all
    compiled as ``driver`` compiles its own."""
    pytest.importorskip("scikit_build_core", reason="it makes the wheel")
    folder = tmp_path / "a folder"  # ninja compiles anew in folders of stranger names
    source = folder / "source"
    write(source / "pyproject.toml", PROJECT)
    write(source / "CMakeLists.txt", CMAKE_LISTS)
    write(source / "engine.cpp", 'extern "C" int answer() { return 42; }\n')
    write(source / "torchml_driver/__init__.py", "answer = 42\n")
    write(source / "cmake/Nothing.cmake")
    tools = toolchain(Places())
    tools.require()
    project = CMakeProject(BuildPlan(tools), source, folder / "{build}", tmp_path / "log")
    project.configure("configuring", {"CHOSEN": "yes"})
    project.compile("compiling", 1)
    return project


def test_pip_installs_the_wheel(built: CMakeProject, tmp_path: Path) -> None:
    wheel = python_module.build_wheel(built, tmp_path / "wheel")
    pytest.importorskip("pip")
    run_logged(
        [
            *(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index"),
            *("--target", tmp_path / "site", wheel),
        ],
        title="installing",
        log=tmp_path / "log",
    )
    site = tmp_path / "site"
    assert (site / "torchml_driver/__init__.py").read_text() == "answer = 42\n"
    assert ctypes.CDLL(str(site / "torchml_driver/libengine.so")).answer() == 42
    metadata = (site / "torchml_driver-1.2.3.dist-info/METADATA").read_text()
    assert "Requires-Dist: vesin>=0.4\n" in metadata
    assert sorted(path.name for path in site.iterdir() if not path.name.startswith("torchml")) == []
    assert "other" not in {path.name for path in site.rglob("*")}


def test_the_wheel_is_for_this_interpreter_only(built: CMakeProject, tmp_path: Path) -> None:
    wheel = python_module.build_wheel(built, tmp_path / "wheel")
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    assert wheel.name.startswith(f"torchml_driver-1.2.3-cp{version}-cp{version}")


def test_the_wheel_is_made_of_what_was_compiled_for_the_driver(
    built: CMakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling is what takes time: no setting of the wheel's, of pip's Python or of conda's
    compilers has it done again, and the next build of the driver finds it done, too."""
    (compiled,) = built.build.rglob("engine.cpp.o")
    before = compiled.stat().st_mtime_ns
    monkeypatch.setenv("CMAKE_ARGS", "-DCHOSEN=no -DCMAKE_CXX_FLAGS=-O1")
    for note in ("{}", json.dumps({"skbuild_path": "/elsewhere", "source_dir": "/elsewhere"})):
        write(built.build / ".skbuild-info.json", note)
        python_module.build_wheel(built, tmp_path / "wheel")
        assert compiled.stat().st_mtime_ns == before
    built.configure("configuring", {"CHOSEN": "yes"})
    built.compile("compiling", 1)
    assert compiled.stat().st_mtime_ns == before


def test_a_wheel_that_cannot_be_made_says_why(built: CMakeProject, tmp_path: Path) -> None:
    write(built.source / "CMakeLists.txt", 'message(FATAL_ERROR "torchml: no module here.")\n')
    with pytest.raises(PythonModuleError, match=r"torchml: no module here\.") as caught:
        python_module.build_wheel(built, tmp_path / "wheel")
    assert str(tmp_path / "log") in caught.value.message


def test_a_python_of_the_system_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "EXTERNALLY-MANAGED")
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    obstacle = python_module.obstacle()
    assert isinstance(obstacle, PythonModuleError)
    assert "python3 -m venv" in obstacle.remedy
    assert "--no-python" in obstacle.remedy


@pytest.mark.parametrize("module", ["pip", "pybind11", "scikit-build-core"])
def test_what_the_module_needs_is_named_when_missing(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(sys, "prefix", "/some/environment")
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name: None if name == module.replace("-", "_") else object(),
    )
    monkeypatch.setattr("torchml_installer.deps.pip.which", lambda _name: None)
    obstacle = python_module.obstacle()
    assert obstacle is not None
    assert f"no {module}" in obstacle.message


def test_a_pybind11_that_is_too_old_is_named_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Debian's, in a virtual environment that sees the system's packages."""
    monkeypatch.setattr(sys, "prefix", "/some/environment")
    backend = ("scikit_build_core", python_module.BACKEND_LEAST)
    for name, version in (("pybind11", "2.10.3"), ("numpy", "2.0.0"), backend):
        write(tmp_path / name / "__init__.py")
        write(tmp_path / f"{name}-{version}.dist-info/METADATA", f"Version: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    obstacle = python_module.obstacle()
    assert obstacle is not None
    asks, least = "NumPy 2.0.0", "2.12"
    if sys.version_info >= (3, 13):
        asks, least = pybind11_wanted()[1], pybind11_wanted()[0]
    assert f"has pybind11 2.10.3, but {asks} needs {least} or newer" in obstacle.message
    assert f"'pybind11>={least}'" in obstacle.remedy
    assert "--no-python" in obstacle.remedy


def test_a_scikit_build_core_that_is_too_old_is_named_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", "/some/environment")
    for name, version in (("scikit_build_core", "0.5.1"), ("pybind11", "99.0")):
        write(tmp_path / name / "__init__.py")
        write(tmp_path / f"{name}-{version}.dist-info/METADATA", f"Version: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    obstacle = python_module.obstacle()
    assert obstacle is not None
    assert "has scikit-build-core 0.5.1, but" in obstacle.message
    least = python_module.BACKEND_LEAST
    assert f"'scikit-build-core>={least}'" in obstacle.remedy
    stated = (REPOSITORY / "driver_src/pyproject.toml").read_text(encoding="utf-8")
    assert f'"scikit-build-core>={least}"' in stated


def test_all_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/some/environment")
    present = importlib.util.find_spec
    gone = ("pybind11", "scikit_build_core")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name in gone else present(name)
    )
    obstacle = python_module.obstacle()
    assert obstacle is not None
    assert "no pybind11 and no scikit-build-core" in obstacle.message
    assert "pybind11 scikit-build-core" in obstacle.remedy


@pytest.mark.parametrize(
    ("python", "numpy", "least"),
    [
        ("3.11.7", "1.26.4", "2.7"),
        ("3.12.1", "1.26.4", "2.11"),
        ("3.11.7", "2.0.0", "2.12"),
        ("3.11.7", "", "2.12"),
        ("3.13.0", "2.3.0", "2.13"),
        ("3.14.0rc1", "2.3.0", "3.0"),
    ],
)
def test_the_pybind11_that_will_do_follows_from_python_and_numpy(
    monkeypatch: pytest.MonkeyPatch, python: str, numpy: str, least: str
) -> None:
    """Without a NumPy, pip brings a new one."""
    monkeypatch.setattr("platform.python_version", lambda: python)
    monkeypatch.setattr(python_packages, "version_of", lambda _name: numpy)
    assert pybind11_wanted()[0] == least


@pytest.mark.skipif(importlib.util.find_spec("pybind11") is None, reason="needs pybind11")
def test_a_python_without_headers_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = sysconfig.get_path
    monkeypatch.setattr(
        sysconfig, "get_path", lambda name: str(tmp_path) if name == "include" else real(name)
    )
    obstacle = python_module.obstacle()
    assert obstacle is not None
    assert "Python.h" in obstacle.message
    assert "--no-python" in obstacle.remedy
