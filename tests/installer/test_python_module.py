"""The Python module becomes a wheel that pip takes, and is left out where pip may not act."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.installer.made_up import ODD_NAME, REPOSITORY, write
from torchml_installer.detect import python_packages
from torchml_installer.detect.python_packages import pybind11_wanted
from torchml_installer.driver import python_module
from torchml_installer.driver.python_module import ProjectFacts
from torchml_installer.errors import PythonModuleError

FACTS = ProjectFacts("1.2.3", ("numpy", "vesin>=0.4"))


def test_version_and_dependencies_are_those_of_the_drivers_project() -> None:
    facts = python_module.project_facts(REPOSITORY / "driver_src")
    assert facts.version
    assert {"numpy", "vesin"} <= set(facts.dependency_names())


def test_pip_installs_the_wheel(tmp_path: Path) -> None:
    package = tmp_path / ODD_NAME / "torchml_driver"
    write(package / "__init__.py", "answer = 42\n")
    write(package / "_core.so", "library")
    write(package / "__pycache__/__init__.pyc", "litter")
    wheel = python_module.write_wheel(package, FACTS, tmp_path)
    pip = pytest.importorskip("pip")
    del pip
    python_module.run_logged(
        [
            *(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index"),
            *("--target", tmp_path / "site", wheel),
        ],
        title="installing",
        log=tmp_path / "log",
    )
    site = tmp_path / "site"
    assert (site / "torchml_driver/__init__.py").read_text() == "answer = 42\n"
    assert (site / "torchml_driver/_core.so").is_file()
    metadata = (site / "torchml_driver-1.2.3.dist-info/METADATA").read_text()
    assert "Requires-Dist: vesin>=0.4\n" in metadata
    with zipfile.ZipFile(wheel) as archive:
        assert not any("__pycache__" in name for name in archive.namelist())


def test_the_wheel_is_for_this_interpreter_only() -> None:
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    assert python_module.wheel_tag().startswith(f"cp{version}-cp{version}")


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


@pytest.mark.parametrize("module", ["pip", "pybind11"])
def test_what_the_module_needs_is_named_when_missing(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(sys, "prefix", "/some/environment")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == module else object()
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
    for name, version in (("pybind11", "2.10.3"), ("numpy", "2.0.0")):
        write(tmp_path / name / "__init__.py")
        write(tmp_path / f"{name}-{version}.dist-info/METADATA", f"Version: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    obstacle = python_module.obstacle()
    assert obstacle is not None
    asks, least = "NumPy 2.0.0", "2.12"
    if sys.version_info >= (3, 13):
        asks, least = pybind11_wanted()[1], pybind11_wanted()[0]
    assert f"is 2.10.3, and {asks} needs {least} or newer" in obstacle.message
    assert f"'pybind11>={least}'" in obstacle.remedy
    assert "--no-python" in obstacle.remedy


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
