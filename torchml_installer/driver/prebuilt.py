"""Installs a prebuilt driver and its Python module, without a compiler."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from torchml_installer.building.plan import BuildPlan
from torchml_installer.deps import pip
from torchml_installer.detect import elf
from torchml_installer.detect.prebuilt import COMPILE, Build, Prebuilt, found, run_path, unfit
from torchml_installer.detect.torch import library_folder, python_torch_folder
from torchml_installer.driver import python_module
from torchml_installer.driver.driver_check import (
    require_known_energy_of_module,
    require_known_energy_with,
)
from torchml_installer.driver.options import DriverOptions
from torchml_installer.errors import PrebuiltUnfitError, PythonModuleError
from torchml_installer.support import console, receipts
from torchml_installer.support.kim_items import (
    Collections,
    ItemKind,
    put_in_place,
    staging,
)
from torchml_installer.support.paths import cache_folder
from torchml_installer.support.resources import shared_folder
from torchml_installer.support.user_python import user_python

#: The names of the library in the wheel and in KIM's collections.
LIBRARY = ItemKind.DRIVER.library
MODEL = ItemKind.MODEL.library


def choose(plan: BuildPlan, options: DriverOptions, version: str) -> Prebuilt:
    """The first prebuilt driver that fits this machine and the options.

    version: the one wanted. Raises PrebuiltUnfitError, which says why there is none.
    """
    _require_what_it_can(plan, options)
    candidates, looked = found(options.find_links)
    refused = []
    for one in candidates:
        reason = unfit(one, plan.tools.torch, plan.tools.kim, version) or _too_long(one, plan)
        reason = reason or _no_module(one, plan)
        if not reason:
            return one
        refused.append(reason)
    refused += [place.refused.rstrip(".") for place in looked if place.refused]
    if refused:
        raise PrebuiltUnfitError(f"{'; '.join(refused)}.", COMPILE)
    if options.find_links:
        folders = ", ".join(map(str, options.find_links))
        raise PrebuiltUnfitError(f"There is no wheel torchml_driver-*.whl in {folders}.")
    raise PrebuiltUnfitError("No wheel with a prebuilt driver was found.")


def install(prebuilt: Prebuilt, plan: BuildPlan, log: Path) -> tuple[tuple[Path, ...], bool]:
    """Installs the driver under every name of the plan, and the Python module.

    Returns the folders, and whether the Python has the module now. Raises PrebuiltUnfitError for a
    damaged file, LibraryNotLoadableError, WrongEnergyError, PythonModuleError, and errors of KIM's
    collection (21, 22). Changes the collection by renames only, after the test.
    """
    tools = plan.tools
    build = prebuilt.build(tools.torch.version)
    assert build is not None, "it fits"
    assert tools.kim.collections_info is not None, "a usable KIM-API has it"
    collections = Collections(tools.kim.collections_info)
    folder = collections.folder(plan.collection, ItemKind.DRIVER)
    data = prebuilt.read(f"{build.folder}/{LIBRARY}")
    with staging(folder) as stage:
        items = []
        for name in plan.names:
            item = stage / name
            item.mkdir()
            item.chmod(0o755)
            _write_library(item / LIBRARY, data, name, prebuilt, run_path(tools.torch, tools.kim))
            collections.require_loadable(item / LIBRARY)
            items.append(item)
        model = prebuilt.read(f"{prebuilt.model(tools.kim.version)}/{MODEL}")
        require_known_energy_with(model, items[0], plan)
        put_in_place(items, folder, stage)
        made_from = _made_from(prebuilt, plan)
        for name in plan.names:
            receipts.write(receipts.Receipt("driver", name, [folder / name / LIBRARY], made_from))
    folders = tuple(folder / name for name in plan.names)
    try:
        return folders, _install_module(prebuilt, build, plan, made_from, log)
    except PythonModuleError as error:
        error.message += f"\n  The driver itself is installed in {folders[0]}"
        raise


def log_place() -> Path:
    """The log of the programs that install a prebuilt driver."""
    return cache_folder() / "logs/driver-prebuilt.log"


def _require_what_it_can(plan: BuildPlan, options: DriverOptions) -> None:
    """Raises PrebuiltUnfitError for options that only a build can follow."""
    for reason in _reasons_to_build(plan, options):
        raise PrebuiltUnfitError(f"A prebuilt driver is not possible {reason}.", COMPILE)


def _reasons_to_build(plan: BuildPlan, options: DriverOptions) -> Iterator[str]:
    if plan.mpi:
        yield "with MPI linked (--mpi, or KIM_MODEL_MPI_AWARE)"
    if not plan.graph:
        yield "without staged graphs (--no-graph, or KIM_MODEL_DISABLE_GRAPH)"
    if plan.roots:
        yield "with another library (--scatter-root, --sparse-root or --libdescriptor-root)"
    if plan.settings.get("TORCHML_SANITIZE"):
        yield "with sanitizers (TORCHML_SANITIZE)"
    if options.build_dir is not None:
        yield "with --build-dir"
    if options.places.cxx is not None:
        yield "with --cxx"


def _too_long(prebuilt: Prebuilt, plan: BuildPlan) -> str:
    room = len(prebuilt.name)
    long = [name for name in plan.names if len(name) > room]
    return f"{prebuilt.title} has room for {room} characters, not for {long[0]}" if long else ""


def _no_module(prebuilt: Prebuilt, plan: BuildPlan) -> str:
    """Why it does not bring the Python module, if the user requested that; else ""."""
    return _obstacle(prebuilt, plan) if plan.python else ""


def _obstacle(prebuilt: Prebuilt, plan: BuildPlan) -> str:
    """Why the user's Python cannot have the module, a clause; "" if it can."""
    python, torch = user_python(), plan.tools.torch
    build = prebuilt.build(torch.version)
    release = ".".join(map(str, python.version[:2]))
    if build is None or release not in build.modules:
        return f"{prebuilt.title} has no Python module for Python {release}"
    if _torch_library(python_torch_folder()) != _torch_library(torch.where):
        return f"{python.executable} does not import the torch in {torch.where}"
    if prebuilt.is_wheel and (found := pip.obstacle()) is not None:
        return found.reason
    return ""


def _torch_library(root: Path | None) -> Path | None:
    folder = library_folder(root)
    return None if folder is None else (folder / "libtorch_cpu.so").resolve()


def _write_library(place: Path, data: bytes, name: str, prebuilt: Prebuilt, folders: bytes) -> None:
    """Writes the driver with its name, and with the folders in which the loader looks."""
    placeholder = prebuilt.name.encode()
    if data.count(placeholder) != 1:
        raise PrebuiltUnfitError(f"{prebuilt.where} is damaged: {LIBRARY} has no place for a name.")
    place.write_bytes(data.replace(placeholder, name.encode().ljust(len(placeholder), b"\0")))
    try:
        set_run_path(place, folders)
    except ValueError as error:
        raise PrebuiltUnfitError(f"{prebuilt.where} is damaged: {error}.") from error
    place.chmod(0o755)


def set_run_path(library: Path, folders: bytes) -> None:
    """Overwrites the folders in which the loader looks for a library's libraries.

    Raises ValueError if the library has none, or too short ones.
    """
    start, room = elf.run_path_place(library)
    if len(folders) > room:
        raise ValueError(f"the run path of {library.name} is too short")
    with library.open("r+b") as file:
        file.seek(start)
        file.write(folders.ljust(room, b"\0"))


def _install_module(
    prebuilt: Prebuilt, build: Build, plan: BuildPlan, made_from: Mapping[str, str], log: Path
) -> bool:
    """Whether the user's Python has the module now. Raises PythonModuleError."""
    if plan.python is False:
        return False
    if reason := _obstacle(prebuilt, plan):
        console.note(f"Installing without the Python module torchml_driver: {reason}.")
        return False
    facts = python_module.project_facts(shared_folder("driver_src"))  # of the same version
    environment = {**plan.environment, **_links(prebuilt)}
    verbose = plan.verbose
    python_module.install_dependencies(facts, log, environment=environment, verbose=verbose)
    if not prebuilt.is_wheel:
        require_known_energy_of_module(prebuilt.where.parent, plan)
        return True
    unpacked = Path(tempfile.mkdtemp(prefix="torchml-module-"))
    try:
        _unpack(prebuilt, build, unpacked)
        require_known_energy_of_module(unpacked, plan)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    with pip.locked():
        python_module.install(prebuilt.where, log, environment=environment, verbose=verbose)
    python = {**made_from, "python": user_python().executable}
    place = python_module.place()
    receipts.write(
        receipts.Receipt(
            "python-module", python_module.DISTRIBUTION, [place] if place else [], python
        )
    )
    return True


def _unpack(prebuilt: Prebuilt, build: Build, folder: Path) -> None:
    """Unpacks the module for this torch, without the others."""
    others = {one.folder for one in prebuilt.builds} - {build.folder}
    unwanted = tuple(f"torchml_driver/prebuilt/{one}/" for one in others)
    try:
        with zipfile.ZipFile(prebuilt.where) as archive:
            names = [name for name in archive.namelist() if not name.startswith(unwanted)]
            archive.extractall(folder, names)
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise PrebuiltUnfitError(f"{prebuilt.where} is damaged: {error}.") from error


def _links(prebuilt: Prebuilt) -> dict[str, str]:
    """For pip: the wheel's folder may have the module's requirements, too."""
    if not prebuilt.is_wheel:
        return {}
    known = os.environ.get("PIP_FIND_LINKS", "").split()
    return {"PIP_FIND_LINKS": " ".join([*known, prebuilt.where.parent.absolute().as_uri()])}


def _made_from(prebuilt: Prebuilt, plan: BuildPlan) -> dict[str, str]:
    named = (plan.tools.torch, plan.tools.kim)
    return {
        "prebuilt": str(prebuilt.where.absolute()),
        "version": prebuilt.version,
        "graph": "ON",
        "mpi": "OFF",
        **{item.name: f"{item.version} in {item.where}" for item in named},
    }
