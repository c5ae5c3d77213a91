"""Toolchains other than the suite's: releases of torch and CMake, compilers.

Downloads are kept in ``support.KEPT``: torch with all that it needs, including CUDA's libraries (3
GB per release), or only the parts for linking (0.5 GB).
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.support import KEPT, ROOT, run
from tests.support.keeping import alone_until_the_end, kept

#: The parts of PyPI's torch that linking needs.
_TORCH_FILES = re.compile(
    r"torch/(include/|share/cmake/|version\.py$|lib/lib(torch_cpu|torch|c10|c10_cuda|shm|gomp"
    r"|gfortran|torch_global_deps)\b[^/]*$)"
)


@dataclass(frozen=True)
class Toolchain:
    """torch: "system" (Debian's), "active" (this Python's), "newest" (on PyPI), or a release on
    PyPI. cmake: "system", "active" or a release on PyPI."""

    torch: str
    cxx: str
    cmake: str

    @property
    def name(self) -> str:
        return f"torch-{self.torch}-{self.cxx}-cmake-{self.cmake}"

    def lacking(self) -> str:
        """What ci/provision.py could not install; nothing else comes from the system."""
        if self.torch == "system" and not Path("/usr/include/ATen/ATen.h").is_file():
            return "libtorch-dev"
        return "" if shutil.which(self.cxx) else self.cxx

    def torch_root(self) -> Path:
        if self.torch == "system":
            return Path("/usr")
        if self.torch == "active":
            return active_torch()
        return whole_torch(newest_torch() if self.torch == "newest" else self.torch)

    def torch_version(self) -> str:
        """Its series, such as 2.13."""
        text = (self.torch_root() / "version.py").read_text()
        found = re.search(r"__version__ = '(\d+\.\d+)", text)
        assert found is not None, text
        return found[1]

    def cmake_folder(self) -> Path:
        if self.cmake == "system":
            return Path("/usr/bin")
        if self.cmake == "active":
            return Path(sys.executable).parent
        return fetched_cmake(self.cmake)

    def environment(self, python: Path) -> dict[str, str]:
        """An environment with this toolchain's programs, and the active `python`."""
        own = Path(sys.executable).parent  # for ninja
        folders = [str(self.cmake_folder()), str(python.parent), str(own)]
        path = os.pathsep.join([*folders, os.environ["PATH"]])
        return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}

    def python(self) -> Path:
        """A virtual environment's Python, into which the driver's module may be installed.

        It sees this Python's packages, but no torch: a package that imports torch if it can (vesin)
        would load a second libtorch.
        """
        folder = KEPT / "toolchains" / self.name
        alone_until_the_end(folder)  # the driver's module goes into it
        python = folder / "bin" / "python"
        linked = [
            entry
            for entry in sorted(Path(sysconfig.get_path("purelib")).iterdir())
            if not re.match(r"(torch|functorch|__pycache__|__editable__)", entry.name)
        ]
        # If another checkout's Python made it, or if packages came later, it would lack some.
        made_of = "".join(f"{path}\n" for path in (sys.executable, *linked))
        complete = folder / "complete"
        if not (complete.exists() and complete.read_text() == made_of):
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", "--without-pip", folder])
            query = "import sysconfig; print(sysconfig.get_path('purelib'))"
            packages = Path(run([python, "-c", query]).strip())
            for entry in linked:
                (packages / entry.name).symlink_to(entry)
            complete.write_text(made_of)
        return python


def active_torch() -> Path:
    found = importlib.util.find_spec("torch")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def newest_torch() -> str:
    """The newest release that pip installs here; constraints may rule out newer ones."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        run([*pip, "--no-deps", "--only-binary", ":all:", "--report", report, "torch"])
        (torch,) = json.loads(report.read_text())["install"]
    return str(torch["metadata"]["version"])


def whole_torch(version: str) -> Path:
    """The folder torch/ of a release on PyPI, importable with the requirements next to it."""

    def fetch(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        run([*pip, "--target", folder, f"torch=={version}"])

    return kept(KEPT / f"torch-{version}-whole", fetch) / "torch"


def fetched_torch(version: str) -> Path:
    """The folder torch/ of a release on PyPI, with only the parts that linking needs."""

    def fetch(folder: Path) -> None:
        folder.mkdir()
        (wheel,) = _downloaded(f"torch=={version}", folder)
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if _TORCH_FILES.match(name):
                    archive.extract(name, folder)
        wheel.unlink()

    return kept(KEPT / f"torch-{version}", fetch) / "torch"


def fetched_cmake(version: str) -> Path:
    """The folder of the program cmake of a release on PyPI."""

    def fetch(folder: Path) -> None:
        folder.mkdir()
        (wheel,) = _downloaded(f"cmake=={version}", folder)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
        for program in (folder / "cmake/data/bin").iterdir():
            program.chmod(0o755)

    return kept(KEPT / f"cmake-{version}", fetch) / "cmake/data/bin"


def _downloaded(requirement: str, folder: Path) -> list[Path]:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    run([*pip, "--only-binary", ":all:", "--dest", folder, requirement])
    return list(folder.glob("*.whl"))
