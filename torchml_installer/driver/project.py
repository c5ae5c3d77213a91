"""The driver's CMake project: its build folder, its variables and its results."""

from __future__ import annotations

import shutil
from pathlib import Path

from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Toolchain, libdescriptor
from torchml_installer.detect.known_libdescriptor import VARIABLE as LIBDESCRIPTOR
from torchml_installer.detect.python_packages import pybind11_cmake_folder
from torchml_installer.detect.torch import NEWEST as NEWEST_TORCH
from torchml_installer.driver import python_module
from torchml_installer.errors import BuildFailedError, SourcesMissingError
from torchml_installer.support import build_folder
from torchml_installer.support.user_python import user_python

#: Environment variables that the driver's CMake code or the compiler reads.
ENVIRONMENT = (
    "CXXFLAGS",
    "LDFLAGS",
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "TorchScatter_ROOT",
    "TorchSparse_ROOT",
    LIBDESCRIPTOR,
)


def build_place(plan: BuildPlan, sources: Path) -> Path:
    """The build folder: a separate one for each combination of dependencies."""
    if plan.folder is not None:
        return plan.folder
    tools, python = plan.tools, user_python()
    # Not the names: a new name needs only a link, not another build.
    facts = [
        *(f"{item.where} {item.version}" for item in (tools.torch, tools.kim, tools.compiler)),
        tools.build_tool.generator,
        f"{python.prefix} {python.full_version}",  # however it was called: python or python3
        *(f"{name}={plan.variable(name)}" for name in ENVIRONMENT),
        *(f"{name}={value}" for name, value in _settings(plan).items()),
        *(f"{name}={value}" for name, value in sorted(plan.variables.items())),
    ]
    parent = build_folder.default_parent(plan.variable("TMPDIR"))
    return parent / build_folder.key(sources, facts)


def _settings(plan: BuildPlan) -> dict[str, str]:
    """CMake variables for the driver's features and for how it is compiled."""
    switches = {"TORCHML_GRAPH": plan.graph, "TORCHML_MPI": plan.mpi}
    return {**{name: _switch(on) for name, on in switches.items()}, **plan.settings}


def log_of(build: Path) -> Path:
    """The log of builds in that folder."""
    return build / "build.log"


def build(plan: BuildPlan, sources: Path, folder: Path, with_python: bool) -> CMakeProject:
    """Builds the driver to ``folder/stage/kim/NAME``, and compiles the module."""
    source_copy = folder / "source"
    build_folder.copy_sources(sources, source_copy)
    if not (source_copy / "CMakeLists.txt").is_file():
        raise SourcesMissingError(f"{sources} has no CMakeLists.txt.")
    stage = folder / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    log = log_of(folder)
    log.unlink(missing_ok=True)
    tools = plan.tools
    project = CMakeProject(plan, source_copy, folder / "build", log)
    variables: dict[str, str | Path] = {
        "TORCH_ROOT": tools.torch.where or "",
        "LIBDESCRIPTOR_ROOT": _libdescriptor_root(plan),
        "TORCHML_DRIVER_NAMES": ";".join(plan.names),
        "TORCHML_KIM": "ON",
        "TORCHML_PYTHON": _switch(with_python),
        **_settings(plan),
        "Python_EXECUTABLE": user_python().executable,
        "KIM_API_INSTALL_COLLECTION": plan.collection.value.upper(),
        "KIM_API_MODEL_DRIVER_INSTALL_PREFIX": stage / "kim",
    }
    if with_python and (pybind11 := pybind11_cmake_folder()) is not None:
        variables["pybind11_DIR"] = pybind11
    project.configure("configuring the driver", variables)
    try:
        project.compile("compiling the driver", plan.jobs)
    except BuildFailedError as error:
        if tools.torch.newer_than_tested:
            error.remedy = _newer_torch_remedy(tools)
        raise
    # KIM's items belong to CMake's unnamed component; the module becomes a wheel.
    project.install("collecting what was built", "Unspecified")
    for name in plan.names:
        if not (stage / "kim" / name).is_dir():
            raise BuildFailedError(f"The build did not produce the driver {name}.\n  log: {log}")
    return project


def _newer_torch_remedy(tools: Toolchain) -> str:
    newest = ".".join(map(str, NEWEST_TORCH))
    return (
        f"torch {tools.torch.version} is newer than {newest}, the newest version tested with this "
        "driver. Use a newer driver (`python -m pip install .` in a newer checkout), or torch "
        f'{newest} (`python -m pip install "torch=={newest}.*"`, or name one with '
        "--torch-root DIR)."
    )


def _libdescriptor_root(plan: BuildPlan) -> Path | str:
    """A working libdescriptor, which the driver can open at run time; "" if there is none."""
    found = libdescriptor.detect(plan.roots.get(LIBDESCRIPTOR), plan.environment)
    return found.where if found.usable and found.where is not None else ""


def made_from(plan: BuildPlan, sources: Path) -> dict[str, str]:
    """The versions and settings that a receipt records."""
    tools = plan.tools
    named = (tools.torch, tools.kim, tools.compiler, tools.cmake)
    return {
        "sources": str(sources),
        "version": python_module.project_facts(sources).version,
        "graph": _switch(plan.graph),
        "mpi": _switch(plan.mpi),
        **{item.name: f"{item.version} in {item.where}" for item in named},
    }


def _switch(value: bool) -> str:
    return "ON" if value else "OFF"
