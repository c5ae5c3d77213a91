"""``driver``: builds the driver and its Python module, or takes prebuilt ones; installs them."""

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
from torchml_installer.detect.prebuilt import Prebuilt
from torchml_installer.driver import prebuilt, project, python_module
from torchml_installer.driver.driver_check import (
    require_known_energy,
    require_known_energy_of_module,
)
from torchml_installer.driver.options import DriverOptions, planned
from torchml_installer.errors import (
    CMakeTooOldError,
    CompilerTooOldError,
    LibraryNotLoadableError,
    MissingToolError,
    NoCMakeError,
    NoCompilerError,
    NotPermittedError,
    OutputExistsError,
    PrebuiltUnfitError,
    TorchMLError,
    WrongEnergyError,
)
from torchml_installer.remedies.applying import prepared, with_remedies
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
    """What is installed now. python: the user's Python. prebuilt: where the driver came from, if it
    was not compiled here."""

    folders: tuple[Path, ...]
    python_module: bool
    toolchain: Toolchain
    log: Path
    python: str = ""
    prebuilt: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``driver --json`` prints.

        drivers: list of objects with name and folder; python_module: the Python that has the
        module, null if it was not installed; torch: object with version and root; log: the build's;
        prebuilt: the wheel or package with the prebuilt driver, null if it was compiled.
        """
        torch = self.toolchain.torch
        return {
            "schema": 1,
            "drivers": [{"name": one.name, "folder": str(one)} for one in self.folders],
            "python_module": self.python if self.python_module else None,
            "torch": {"version": torch.version, "root": str(torch.where)},
            "log": str(self.log),
            "prebuilt": None if self.prebuilt is None else str(self.prebuilt),
        }


def install_driver(options: DriverOptions) -> InstalledDriver:
    """Installs the driver under every name: a prebuilt one if one fits, or else builds it.

    Before it compiles anything, refuses if something is missing (errors 3 to 13), if the collection
    is not writable (21, 22) or if a name is illegal (34). Raises BuildFailedError and
    PythonModuleError, and PrebuiltUnfitError if the options demand a prebuilt driver and none fits.
    Changes the collection by renames only, after everything was built and tested.
    """
    plan = planned(options)
    if options.prebuilt is False:
        return with_remedies(_install, plan, _log, options.fix)
    try:
        chosen, plan = _chosen(plan, options)
        return _install_prebuilt(chosen, plan)
    except _UNFIT as error:
        if options.prebuilt:
            raise
        if plan.tools.torch.usable and plan.tools.kim.usable:
            console.note(f"Compiling the driver. {error.message}")
    try:
        return with_remedies(_install, plan, _log, options.fix)
    except _CANNOT_COMPILE as error:
        error.remedy += (
            " Or install a prebuilt driver, which needs no compiler: name a folder with wheels of "
            "torchml-driver with --find-links DIR."
        )
        raise


def _chosen(plan: BuildPlan, options: DriverOptions) -> tuple[Prebuilt, BuildPlan]:
    """A prebuilt driver that fits, and the plan after repairs. Raises PrebuiltUnfitError."""
    for finding in (plan.tools.torch, plan.tools.kim):
        if finding.problem is not None and options.prebuilt:
            raise finding.problem
        if finding.problem is not None:
            raise PrebuiltUnfitError(f"A prebuilt driver needs {finding.title}, too.")
    version = python_module.project_facts(shared_folder("driver_src")).version
    chosen = prebuilt.choose(plan, options, version)
    return chosen, prepared(plan, options.fix, _REMEDIES)


def _install_prebuilt(chosen: Prebuilt, plan: BuildPlan) -> InstalledDriver:
    """Raises _UNFIT if a build may help, and other errors, as ``install_driver`` does."""
    tools = plan.tools
    console.note(f"Installing the prebuilt driver for torch {tools.torch.version}: {chosen.where}")
    log = prebuilt.log_place()
    log.unlink(missing_ok=True)
    folders, with_python = prebuilt.install(chosen, plan, log)
    assert tools.kim.collections_info is not None, "a usable KIM-API has it"
    _warn_if_hidden(Collections(tools.kim.collections_info), folders[0].parent, plan.names)
    return InstalledDriver(
        folders=folders,
        python_module=with_python,
        toolchain=tools,
        log=log,
        python=user_python().executable,
        prebuilt=chosen.where,
    )


#: The known problems that a prebuilt driver meets, too.
_REMEDIES = (
    *("collection-not-writable", "no-space-for-temporaries", "two-torches"),
    *("another-torch", "another-kim-api", "preloaded-libraries"),
)
#: Failures of a prebuilt driver that one compiled here may not have.
_UNFIT = (PrebuiltUnfitError, LibraryNotLoadableError, WrongEnergyError)
_CANNOT_COMPILE = (
    NoCompilerError,
    CompilerTooOldError,
    NoCMakeError,
    CMakeTooOldError,
    MissingToolError,
)


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
