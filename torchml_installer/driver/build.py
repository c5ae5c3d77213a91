"""``driver``: configures, builds and installs the driver and its Python module."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.detect import Places, Toolchain, libdescriptor, toolchain, torch_extension
from torchml_installer.detect.known_extensions import EXTENSIONS
from torchml_installer.detect.python_packages import pybind11_cmake_folder
from torchml_installer.detect.torch import NEWEST as NEWEST_TORCH
from torchml_installer.driver import python_module
from torchml_installer.driver.driver_check import (
    require_known_energy,
    require_known_energy_of_module,
)
from torchml_installer.errors import (
    BadOptionError,
    BuildFailedError,
    NotPermittedError,
    OutputExistsError,
    SourcesMissingError,
    TorchMLError,
)
from torchml_installer.remedies.applying import with_remedies
from torchml_installer.remedies.remedy import Context
from torchml_installer.support import build_folder, console, disk, receipts
from torchml_installer.support.kim_items import (
    Collection,
    Collections,
    ItemKind,
    put_in_place,
    staging,
)
from torchml_installer.support.names import DEFAULT_DRIVER_NAME, check_item_name
from torchml_installer.support.process import available_cores
from torchml_installer.support.resources import shared_folder
from torchml_installer.support.user_python import say_which, user_python

#: Environment variables that the driver's CMake code or the compiler reads.
_ENVIRONMENT = (
    "CXXFLAGS",
    "LDFLAGS",
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "TorchScatter_ROOT",
    "TorchSparse_ROOT",
    "LIBDESCRIPTOR_ROOT",
    "TORCHML_SANITIZE",
    "TORCHML_UNITY",
)


@dataclass(frozen=True)
class DriverOptions:
    """What ``driver`` was asked for.

    python: build the Python module; None: if the user's Python has what that takes.
    graph: with staged graphs, unless the environment has KIM_MODEL_DISABLE_GRAPH.
    mpi: asks MPI itself for a process's rank on its node; None: if the environment has
        KIM_MODEL_MPI_AWARE=yes.
    roots: of optional libraries: variable of the environment → folder.
    build_dir: None: a folder of the cache that is kept for the next run.
    fix: repair known problems (``remedies``); None: ask, if there is a terminal.
    """

    names: tuple[str, ...] = (DEFAULT_DRIVER_NAME,)
    collection: Collection = Collection.USER
    places: Places = field(default_factory=Places)
    jobs: int | None = None
    python: bool | None = None
    graph: bool = True
    mpi: bool | None = None
    roots: Mapping[str, Path] = field(default_factory=dict)
    build_dir: Path | None = None
    verbose: bool = False
    fix: bool | None = None


@dataclass(frozen=True)
class InstalledDriver:
    """What is in place now. python: the user's."""

    folders: tuple[Path, ...]
    python_module: bool
    toolchain: Toolchain
    log: Path
    python: str = ""

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``driver --json`` prints.

        drivers: list of objects with name and folder; python_module: the Python that the module
        was installed for, null if it was not; torch: object with version and root; log: of the
        build.
        """
        torch = self.toolchain.torch
        return {
            "schema": 1,
            "drivers": [{"name": one.name, "folder": str(one)} for one in self.folders],
            "python_module": self.python if self.python_module else None,
            "torch": {"version": torch.version, "root": str(torch.where)},
            "log": str(self.log),
        }


def install_driver(options: DriverOptions) -> InstalledDriver:
    """Builds and installs the driver under every name.

    Refuses before it compiles anything when something is missing (errors 3 to 13), the collection
    cannot be written to (21, 22) or a name is illegal (34). Raises BuildFailedError and
    PythonModuleError. The collection changes by renames only, after everything was built.
    """
    names = _names(options)
    say_which()
    # CMake, the compiler's programs and detection all read the variables.
    os.environ.update({name: str(folder) for name, folder in options.roots.items()})
    context = Context(
        toolchain(options.places),
        options.places,
        options.collection,
        mpi=_mpi(options),
        folder=options.build_dir,
    )

    def attempt(context: Context) -> InstalledDriver:
        return _install_driver(_adapted(options, context), context, names)

    def log(context: Context) -> Path:
        adapted = _adapted(options, context)
        return _log(_build_place(adapted, context, shared_folder("driver_src")))

    return with_remedies(attempt, context, log, options.fix)


def _adapted(options: DriverOptions, context: Context) -> DriverOptions:
    """The options with what remedies changed."""
    return dataclasses.replace(
        options, places=context.places, collection=context.collection, mpi=context.mpi
    )


def _install_driver(
    options: DriverOptions, context: Context, names: tuple[str, ...]
) -> InstalledDriver:
    tools = context.tools
    tools.require()
    _require_roots(options, tools)
    if options.build_dir is not None:
        _require_build_dir(options.build_dir.absolute())
    sources = shared_folder("driver_src")
    assert tools.kim.collections_info is not None, "a usable KIM-API has it"
    collections = Collections(tools.kim.collections_info)
    folder = collections.folder(options.collection, ItemKind.DRIVER)
    with_python = _with_python(options.python)
    with staging(folder) as stage:
        build = _build_place(options, context, sources)
        with build_folder.locked(build):
            project = _build(options, context, sources, build, names, with_python)
            items = []
            for name in names:
                item = stage / name
                shutil.copytree(build / "stage" / "kim" / name, item)
                items.append(item)
                for library in sorted(item.glob("*.so")):
                    collections.require_loadable(library)
            # The names are one driver: what the first computes, so do the others.
            require_known_energy(project, items[0])
            files = [
                folder / item.name / path.relative_to(item)
                for item in items
                for path in sorted(item.rglob("*"))
            ]
            put_in_place(items, folder, stage)
            for name in names:
                own = [file for file in files if file.is_relative_to(folder / name)]
                made_from = _made_from(options, tools, sources)
                receipts.write(receipts.Receipt("driver", name, own, made_from))
            _warn_if_hidden(collections, folder, names)
            if with_python:
                try:
                    _install_python_module(options, tools, sources, build)
                except TorchMLError as error:
                    error.message += f"\n  The driver itself is installed: {folder / names[0]}"
                    raise
    if options.build_dir is None:
        build_folder.prune(build.parent, keep=build)
    return InstalledDriver(
        folders=tuple(folder / name for name in names),
        python_module=with_python,
        toolchain=tools,
        log=_log(build),
        python=user_python().executable,
    )


def _names(options: DriverOptions) -> tuple[str, ...]:
    for name in options.names:
        check_item_name(name, "driver")
    if options.jobs is not None and options.jobs < 1:
        raise BadOptionError(
            f"--jobs has to be at least 1, not {options.jobs}.", "Leave it out to use all cores."
        )
    return tuple(dict.fromkeys(options.names))


def _require_build_dir(folder: Path) -> None:
    """Makes the folder that was chosen for the build, before anything else is made beside it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if disk.says_full(str(error)):
            raise
        raise NotPermittedError(
            f"Cannot build in {folder}: {error.strerror}.",
            "Name another folder with --build-dir, or leave it out.",
        ) from error
    if not build_folder.is_ours(folder) and any(folder.iterdir()):
        raise OutputExistsError(
            f"{folder} holds something else than a build of the driver.",
            "Name an empty or a new one with --build-dir: a build removes what lies in its way.",
        )


def _require_roots(options: DriverOptions, tools: Toolchain) -> None:
    """Raises the problem of a library that was named and cannot be used."""
    extensions = {extension.variable: extension for extension in EXTENSIONS.values()}
    for name, root in options.roots.items():
        if name in extensions:
            found = torch_extension.detect(extensions[name], tools.torch, root)
        else:
            found = libdescriptor.detect(root)
        if found.problem is not None:
            raise found.problem


def _with_python(wanted: bool | None) -> bool:
    """Whether the Python module is built; says why not, unless the user decided so."""
    if wanted is False:
        return False
    obstacle = python_module.obstacle()
    if obstacle is None:
        return True
    if wanted:
        raise obstacle
    console.note(f"The Python module torchml_driver is left out: {obstacle.message}")
    console.note(f"  to have it: {obstacle.remedy}")
    return False


def _build_place(options: DriverOptions, context: Context, sources: Path) -> Path:
    if options.build_dir is not None:
        return options.build_dir.absolute()
    tools, python = context.tools, user_python()
    # The names are left out: another name needs a link, not another build.
    facts = [
        *(f"{item.where} {item.version}" for item in (tools.torch, tools.kim, tools.compiler)),
        tools.build_tool.generator,
        f"{python.prefix} {python.full_version}",  # whether it was called python or python3
        f"werror={_werror()} graph={_graph(options)} mpi={_switch(_mpi(options))}",
        *(f"{name}={os.environ.get(name, '')}" for name in _ENVIRONMENT),
        *(f"{name}={value}" for name, value in sorted(context.variables.items())),
    ]
    return build_folder.default_parent() / build_folder.key(sources, facts)


def _build(
    options: DriverOptions,
    context: Context,
    sources: Path,
    build: Path,
    names: tuple[str, ...],
    with_python: bool,
) -> CMakeProject:
    """Leaves the driver in ``build/stage/kim/NAME`` and the module in ``build/stage/python``."""
    source_copy = build / "source"
    build_folder.copy_sources(sources, source_copy)
    if not (source_copy / "CMakeLists.txt").is_file():
        raise SourcesMissingError(f"{sources} holds no CMakeLists.txt.")
    stage = build / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    log = _log(build)
    log.unlink(missing_ok=True)
    tools = context.tools
    project = CMakeProject(
        tools,
        source_copy,
        build / "build",
        log,
        options.verbose,
        context.variables,
    )
    variables: dict[str, str | Path] = {
        "TORCH_ROOT": tools.torch.where or "",
        "LIBDESCRIPTOR_ROOT": _libdescriptor_root(),
        "TORCHML_DRIVER_NAMES": ";".join(names),
        "TORCHML_KIM": "ON",
        "TORCHML_PYTHON": "ON" if with_python else "OFF",
        "TORCHML_GRAPH": _graph(options),
        "TORCHML_MPI": _switch(_mpi(options)),
        "TORCHML_WERROR": _werror(),
        "TORCHML_SANITIZE": os.environ.get("TORCHML_SANITIZE", ""),
        "TORCHML_UNITY": os.environ.get("TORCHML_UNITY", "ON"),
        "TORCHML_PYTHON_INSTALL_DIR": stage / "python",
        "Python_EXECUTABLE": user_python().executable,
        "KIM_API_INSTALL_COLLECTION": options.collection.value.upper(),
        "KIM_API_MODEL_DRIVER_INSTALL_PREFIX": stage / "kim",
    }
    if with_python and (folder := pybind11_cmake_folder()) is not None:
        variables["pybind11_DIR"] = folder
    project.configure("configuring the driver", variables)
    try:
        project.compile("compiling the driver", options.jobs or available_cores())
    except BuildFailedError as error:
        if tools.torch.newer_than_tested:
            error.remedy = _newer_torch_remedy(tools)
        raise
    project.install("collecting what was built")
    for name in names:
        if not (stage / "kim" / name).is_dir():
            raise BuildFailedError(f"The build did not make the driver {name}.\n  log: {log}")
    return project


def _newer_torch_remedy(tools: Toolchain) -> str:
    newest = ".".join(map(str, NEWEST_TORCH))
    return (
        f"torch {tools.torch.version} is newer than {newest}, the newest that this driver was "
        "tested with: take a newer driver (`python -m pip install --upgrade torchml-installer`), "
        f'or torch {newest} (`python -m pip install "torch=={newest}.*"`, or name one with '
        "--torch-root DIR)."
    )


def _install_python_module(
    options: DriverOptions, tools: Toolchain, sources: Path, build: Path
) -> None:
    facts = python_module.project_facts(sources)
    package = build / "stage" / "python" / python_module.PACKAGE
    wheel = python_module.write_wheel(package, facts, build / "stage")
    python_module.install_dependencies(facts, _log(build), verbose=options.verbose)
    require_known_energy_of_module(package.parent)
    python_module.install(wheel, _log(build), verbose=options.verbose)
    made_from = {**_made_from(options, tools, sources), "python": user_python().executable}
    place = python_module.place()
    receipts.write(
        receipts.Receipt(
            "python-module", python_module.DISTRIBUTION, [place] if place else [], made_from
        )
    )


def _made_from(options: DriverOptions, tools: Toolchain, sources: Path) -> dict[str, str]:
    named = (tools.torch, tools.kim, tools.compiler, tools.cmake)
    return {
        "sources": str(sources),
        "version": python_module.project_facts(sources).version,
        "graph": _graph(options),
        "mpi": _switch(_mpi(options)),
        **{item.name: f"{item.version} in {item.where}" for item in named},
    }


def _warn_if_hidden(collections: Collections, folder: Path, names: tuple[str, ...]) -> None:
    """KIM takes the first item of a name: one in an earlier collection hides ours."""
    for name in names:
        found = collections.find(ItemKind.DRIVER, name)
        if found is not None and found.folder.resolve() != folder.resolve():
            console.warn(
                f"KIM will use another {name}, the one in {found.folder} ({found.collection} "
                "collection), which it looks at first."
            )


def _log(build: Path) -> Path:
    return build / "build.log"


def _libdescriptor_root() -> Path | str:
    """The driver can open libdescriptor at run time; it is told of one that works."""
    found = libdescriptor.detect()
    return found.where if found.usable and found.where is not None else ""


def _werror() -> str:
    value = os.environ.get("TORCHML_WERROR", "")
    return "OFF" if value.lower() in ("", "0", "off", "no", "false") else "ON"


def _graph(options: DriverOptions) -> str:
    # The second spelling stands in print; both count, whatever their value.
    names = ("KIM_MODEL_DISABLE_GRAPH", "KIM_MODEL_DISBALE_GRAPH")
    return "ON" if options.graph and not any(name in os.environ for name in names) else "OFF"


def _mpi(options: DriverOptions) -> bool:
    if options.mpi is not None:
        return options.mpi
    return os.environ.get("KIM_MODEL_MPI_AWARE", "").lower() in ("yes", "on", "true", "1")


def _switch(value: bool) -> str:
    return "ON" if value else "OFF"
