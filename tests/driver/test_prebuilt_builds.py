"""A wheel with builds for several releases of torch uses the one for the torch that is there.

These are packages of torchml_driver's own code for that, with an engine that is only a name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tests.support import ROOT

_OWN = ROOT / "driver_src/python/torchml_driver"
_INIT = """\
from . import _prebuilt
_prebuilt.choose(__path__)
from .built_for import VERSION
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages: torch 2.13.1, which loads, and a torchml_driver for 2.9 and 2.13."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "torch/lib").mkdir(parents=True)
    (tmp_path / "torch/__init__.py").touch()
    set_torch(tmp_path, "2.13.1+cpu")
    library = tmp_path / "torch/lib/libtorch_cpu.so"
    options = ["-shared", "-x", "c", "/dev/null", "-o", str(library)]
    subprocess.run(["cc", *options], check=True)
    package = tmp_path / "torchml_driver"
    package.mkdir()
    for name in ("_prebuilt.py", "torch_package.py"):
        shutil.copy(_OWN / name, package)
    (package / "__init__.py").write_text(_INIT)
    for series in ("2.9", "2.13"):
        build = package / f"prebuilt/torch-{series}"
        build.mkdir(parents=True)
        (build / "built_for.py").write_text(f"VERSION = '{series}.0'\n")
        (build / f"_core{EXTENSION_SUFFIXES[0]}").touch()
    return tmp_path


def set_torch(packages: Path, version: str) -> None:
    (packages / "torch/version.py").write_text(f"__version__ = '{version}'\n")


def imported(packages: Path, program: str = "print(torchml_driver.VERSION)") -> tuple[int, str]:
    """Runs a program after `import torchml_driver`; returns the code, and what was printed."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import torchml_driver; {program}"],
        env={"PYTHONPATH": str(packages)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout or done.stderr).strip()


@pytest.mark.parametrize(("version", "wanted"), [("2.13.1+cpu", "2.13.0"), ("2.9.0", "2.9.0")])
def test_the_build_of_this_torch_s_series_is_used(
    packages: Path, version: str, wanted: str
) -> None:
    set_torch(packages, version)
    assert imported(packages) == (0, wanted)


def test_libtorch_is_opened_where_python_would_import_it(packages: Path) -> None:
    program = "print(any('libtorch_cpu' in line for line in open('/proc/self/maps')))"
    assert imported(packages, program) == (0, "True")


def test_a_torch_without_a_build_is_told_with_those_that_have_one(packages: Path) -> None:
    set_torch(packages, "2.14.0")
    code, said = imported(packages)
    assert code != 0
    assert "built for torch 2.9, 2.13, but torch 2.14.0 is in" in said
    assert "`torchml-install driver --build`" in said


def test_a_missing_torch_is_told(packages: Path) -> None:
    shutil.rmtree(packages / "torch")
    code, said = imported(packages)
    assert code != 0
    assert "needs torch, which this Python lacks" in said


def test_a_python_without_a_build_is_told(packages: Path) -> None:
    build = packages / "torchml_driver/prebuilt/torch-2.13"
    (build / f"_core{EXTENSION_SUFFIXES[0]}").rename(build / "_core.cpython-39-other.so")
    code, said = imported(packages)
    assert code != 0
    assert "has no build for Python" in said
    assert "_core.cpython-39-other.so" in said


def test_a_damaged_libtorch_is_told(packages: Path) -> None:
    (packages / "torch/lib/libtorch_cpu.so").write_text("no library")
    code, said = imported(packages)
    assert code != 0
    assert "libtorch_cpu.so cannot be loaded" in said
