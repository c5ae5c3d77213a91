"""Finds what the driver, models and simulators need, and says whether it is usable.

One module per dependency; each returns a ``Finding`` (``record.py``). Nothing here imports torch.
Programs only print their versions, and threads run them at the same time: ``survey`` takes less
than a second.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torchml_installer.detect import (
    accelerators,
    build_tool,
    cmake,
    compiler,
    cuda,
    enzyme,
    kim_api,
    kim_collections,
    lammps,
    libdescriptor,
    modules,
    mpi,
    pkg_config,
    prebuilt,
    published_models,
    python,
    python_headers,
    python_packages,
    torch,
    torch_extension,
    xxd,
)
from torchml_installer.detect.known_extensions import EXTENSIONS
from torchml_installer.detect.record import Finding, Place
from torchml_installer.errors import REPORT, TorchMLError, UnexpectedError

_Found = TypeVar("_Found", bound=Finding)


@dataclass(frozen=True)
class Places:
    """Where the user says things are; None: search for it."""

    torch_root: Path | None = None
    kim_root: Path | None = None
    cxx: str | None = None
    cmake: Path | None = None


@dataclass(frozen=True)
class Toolchain:
    """What the driver's build needs."""

    torch: torch.TorchFinding
    kim: kim_api.KimFinding
    compiler: compiler.CompilerFinding
    cmake: Finding
    build_tool: build_tool.BuildToolFinding

    def findings(self) -> tuple[Finding, ...]:
        return (self.torch, self.kim, self.compiler, self.cmake, self.build_tool)

    def require(self) -> None:
        """Raises the first problem, in the order of ``findings``."""
        for finding in self.findings():
            if finding.problem is not None:
                raise finding.problem


@dataclass(frozen=True)
class Survey:
    """The findings for everything that was searched for."""

    toolchain: Toolchain
    others: tuple[Finding, ...]

    def findings(self) -> tuple[Finding, ...]:
        return (*self.toolchain.findings(), *self.others)

    def get(self, name: str) -> Finding:
        """The finding of that name. Raises KeyError if there is no such finding."""
        return {finding.name: finding for finding in self.findings()}[name]


#: What models and simulators need, detected independently of everything else.
DETECTORS: dict[str, Callable[[], Finding]] = {
    "python": python.detect,
    "xxd": xxd.detect,
    "pkg-config": pkg_config.detect,
    "mpi": mpi.detect,
    "lammps": lammps.detect,
    "nvidia-driver": cuda.detect_driver,
    "cuda-toolkit": cuda.detect_toolkit,
    "cudnn": accelerators.detect_cudnn,
    "rocm": accelerators.detect_rocm,
    "enzyme": enzyme.detect,
    "modules": modules.detect,
    "libdescriptor": libdescriptor.detect,
    "python-headers": python_headers.detect,
    "openkim-models": published_models.detect,
}


def toolchain(places: Places) -> Toolchain:
    """Searches for what the driver's build needs, and checks whether it is usable."""
    with ThreadPoolExecutor() as pool:
        return _begin(places, pool, thorough=False).result()


def survey(places: Places) -> Survey:
    """Searches for everything."""
    with ThreadPoolExecutor() as pool:
        # Detectors that wait for programs start first; meanwhile, the others read files.
        begun = _begin(places, pool, thorough=True)
        collections = pool.submit(_collections, begun)
        others = [
            pool.submit(_guarded, Finding, name, detector) for name, detector in DETECTORS.items()
        ]
        packages = [
            pool.submit(_guarded, Finding, name, python_packages.detect, name)
            for name in python_packages.PACKAGES
        ]
        extensions = [
            _guarded(
                Finding,
                extension.finding,
                torch_extension.detect,
                extension,
                begun.torch,
            )
            for extension in EXTENSIONS.values()
        ]
        tools = begun.result()
        fitting = _guarded(Finding, "prebuilt-driver", prebuilt.detect, tools.torch, tools.kim)
        found = [fitting, *(future.result() for future in (collections, *others, *packages))]
        (launcher,) = (one for one in found if one.name == "mpi")
        found = [lammps.compared(one, launcher) if one.name == "lammps" else one for one in found]
        return Survey(tools, (*found, *extensions))


@dataclass(frozen=True)
class _Begun:
    """A toolchain whose parts, except torch, may still be being detected."""

    torch: torch.TorchFinding
    kim: Future[kim_api.KimFinding]
    compiler: Future[compiler.CompilerFinding]
    cmake: Future[Finding]
    build_tool: Future[build_tool.BuildToolFinding]

    def result(self) -> Toolchain:
        return Toolchain(
            torch=self.torch,
            kim=self.kim.result(),
            compiler=self.compiler.result(),
            cmake=self.cmake.result(),
            build_tool=self.build_tool.result(),
        )


def _begin(places: Places, pool: ThreadPoolExecutor, *, thorough: bool) -> _Begun:
    def begin(
        kind: type[_Found], name: str, detector: Callable[..., _Found], *arguments: Any
    ) -> Future[_Found]:
        return pool.submit(_guarded, kind, name, detector, *arguments, needed=True)

    kim = begin(kim_api.KimFinding, "kim-api", kim_api.detect, places.kim_root)
    make_program = begin(build_tool.BuildToolFinding, "build-tool", build_tool.detect)
    cmake_program = begin(Finding, "cmake", cmake.detect, places.cmake)
    # torch, which is read from files, determines the C++ standard that the compiler needs.
    libtorch = _guarded(torch.TorchFinding, "torch", torch.detect, places.torch_root, needed=True)
    compilers = partial(compiler.detect, thorough=thorough)
    standard = libtorch.cxx_standard
    cxx = begin(compiler.CompilerFinding, "compiler", compilers, places.cxx, standard)
    return _Begun(libtorch, kim, cxx, cmake_program, make_program)


def _collections(begun: _Begun) -> Finding:
    return _guarded(Finding, "kim-collections", kim_collections.detect, begun.kim.result())


def _guarded(
    kind: type[_Found],
    name: str,
    detector: Callable[..., _Found],
    *arguments: Any,
    needed: bool = False,
) -> _Found:
    """The detector's finding; if the detector itself fails, a finding that says so.

    A bug in one detector must not hide what the others found.
    """
    try:
        return detector(*arguments)
    except TorchMLError:
        raise  # affects all detectors, such as a temporary folder of another user
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        problem = UnexpectedError(
            f"Searching for {name} failed because of a bug in torchml-install: "
            f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno}).",
            f"Please {REPORT} The other results are not affected.",
        )
    looked = (Place(Path(name), "its detector", problem.message),)
    return kind(name, name, needed, problem=problem, looked=looked)
