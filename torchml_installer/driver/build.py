"""``driver``: configures, builds and installs the driver and its Python module."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Toolchain, libdescriptor, torch_extension
from torchml_installer.detect.known_extensions import EXTENSIONS
from torchml_installer.driver import project, python_module
from torchml_installer.driver.driver_check import (
    require_known_energy,
    require_known_energy_of_module,
)
from torchml_installer.driver.options import DriverOptions, planned
from torchml_installer.errors import (
    NotPermittedError,
    OutputExistsError,
    TorchMLError,
)
from torchml_installer.remedies.applying import with_remedies
from torchml_installer.support import build_folder, console, disk, receipts
from torchml_installer.support.kim_items import (
    Collections,
    ItemKind,
    put_in_place,
    staging,
)
from torchml_installer.support.resources import shared_folder
from torchml_installer.support.user_python import user_python

__all__ = ["DriverOptions", "InstalledDriver", "install_driver"]


@dataclass(frozen=True)
class InstalledDriver:
    """What is installed now. python: the user's Python."""

    folders: tuple[Path, ...]
    python_module: bool
    toolchain: Toolchain
    log: Path
    python: str = ""

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``driver --json`` prints.

        drivers: list of objects with name and folder; python_module: the Python that has the
        module, null if it was not installed; torch: object with version and root; log: the build's.
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

    Before it compiles anything, refuses if something is missing (errors 3 to 13), if the collection
    is not writable (21, 22) or if a name is illegal (34). Raises BuildFailedError and
    PythonModuleError. Changes the collection by renames only, after everything was built.
    """
    return with_remedies(_install, planned(options), _log, options.fix)


def _log(plan: BuildPlan) -> Path:
    return project.log_of(project.build_place(plan, shared_folder("driver_src")))


def _install(plan: BuildPlan) -> InstalledDriver:
    tools, names = plan.tools, plan.names
    tools.require()
    _require_roots(plan)
    if plan.folder is not None:
        _require_build_dir(plan.folder)
    sources = shared_folder("driver_src")
    assert tools.kim.collections_info is not None, "a usable KIM-API has it"
    collections = Collections(tools.kim.collections_info)
    folder = collections.folder(plan.collection, ItemKind.DRIVER)
    with_python = _with_python(plan.python)
    with staging(folder) as stage:
        build = project.build_place(plan, sources)
        with build_folder.locked(build):
            built = project.build(plan, sources, build, with_python)
            items = []
            for name in names:
                item = stage / name
                shutil.copytree(build / "stage" / "kim" / name, item)
                items.append(item)
                for library in sorted(item.glob("*.so")):
                    collections.require_loadable(library)
            # All names are the same driver: testing one tests them all.
            require_known_energy(built, items[0])
            files = [
                folder / item.name / path.relative_to(item)
                for item in items
                for path in sorted(item.rglob("*"))
            ]
            put_in_place(items, folder, stage)
            for name in names:
                own = [file for file in files if file.is_relative_to(folder / name)]
                made_from = project.made_from(plan, sources)
                receipts.write(receipts.Receipt("driver", name, own, made_from))
            _warn_if_hidden(collections, folder, names)
            if with_python:
                try:
                    _install_python_module(plan, sources, built)
                except TorchMLError as error:
                    error.message += f"\n  The driver itself is installed in {folder / names[0]}"
                    raise
    if plan.folder is None:
        build_folder.prune(build.parent, keep=build)
    return InstalledDriver(
        folders=tuple(folder / name for name in names),
        python_module=with_python,
        toolchain=tools,
        log=project.log_of(build),
        python=user_python().executable,
    )


def _require_build_dir(folder: Path) -> None:
    """Creates the chosen build folder, before anything is put beside it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if disk.says_full(str(error)):
            raise
        raise NotPermittedError(
            f"Cannot build in {folder}: {error.strerror}.",
            "Name another folder with --build-dir, or leave the option out.",
        ) from error
    if not build_folder.is_ours(folder) and any(folder.iterdir()):
        raise OutputExistsError(
            f"{folder} contains files that are not from a build of the driver, and a build would "
            "delete them.",
            "Name an empty or a new folder with --build-dir.",
        )


def _require_roots(plan: BuildPlan) -> None:
    """Raises the problem of a library that the user named but cannot use."""
    extensions = {extension.variable: extension for extension in EXTENSIONS.values()}
    for name, root in plan.roots.items():
        if name in extensions:
            found = torch_extension.detect(extensions[name], plan.tools.torch, root)
        else:
            found = libdescriptor.detect(root, plan.environment)
        if found.problem is not None:
            raise found.problem


def _with_python(wanted: bool | None) -> bool:
    """Whether to build the Python module; says why not, unless the user decided."""
    if wanted is False:
        return False
    obstacle = python_module.obstacle()
    if obstacle is None:
        return True
    if wanted:
        raise obstacle
    console.note(f"Building without the Python module torchml_driver. {obstacle.message}")
    console.note(f"  to build it: {obstacle.remedy}")
    return False


def _install_python_module(plan: BuildPlan, sources: Path, made: CMakeProject) -> None:
    stage = made.build.parent / "stage"
    wheel = python_module.build_wheel(made, stage / "wheel")
    facts = python_module.project_facts(sources)
    environment, verbose, log = plan.environment, plan.verbose, made.log
    python_module.install_dependencies(facts, log, environment=environment, verbose=verbose)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(stage / "python")
    require_known_energy_of_module(stage / "python", plan)
    python_module.install(wheel, log, environment=environment, verbose=verbose)
    made_from = {**project.made_from(plan, sources), "python": user_python().executable}
    place = python_module.place()
    receipts.write(
        receipts.Receipt(
            "python-module", python_module.DISTRIBUTION, [place] if place else [], made_from
        )
    )


def _warn_if_hidden(collections: Collections, folder: Path, names: tuple[str, ...]) -> None:
    """KIM uses the first item of a name: one in an earlier collection hides ours."""
    for name in names:
        found = collections.find(ItemKind.DRIVER, name)
        if found is not None and found.folder.resolve() != folder.resolve():
            console.warn(
                f"KIM uses another {name}: the one in {found.folder}, since it searches the "
                f"{found.collection} collection first."
            )
