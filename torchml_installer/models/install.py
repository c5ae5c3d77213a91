"""``model install``: builds a portable-model folder with KIM's CMake code and installs it."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.building.cmake_project import CMakeProject
from torchml_installer.building.plan import BuildPlan
from torchml_installer.detect import Places, Toolchain, toolchain
from torchml_installer.errors import (
    BuildFailedError,
    CompilerTooOldError,
    ModelFileMissingError,
    NotAModelFolderError,
    OutputExistsError,
    TorchMLError,
)
from torchml_installer.models import embedding, parameter_file
from torchml_installer.support import console, receipts, system_errors
from torchml_installer.support.kim_items import (
    Collection,
    Collections,
    ItemKind,
    put_in_place,
    staging,
)
from torchml_installer.support.names import check_item_name
from torchml_installer.support.paths import cache_folder, plain_temporary_parent


@dataclass(frozen=True)
class InstallOptions:
    """The options of ``model install``."""

    folder: Path
    collection: Collection = Collection.USER
    places: Places = field(default_factory=Places)
    force: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class ModelFolder:
    """A portable-model folder that has been checked."""

    folder: Path
    name: str
    driver: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class InstalledModel:
    """The installed model. driver_found: the folder of its driver, None: not installed."""

    folder: Path
    name: str
    driver: str
    driver_found: Path | None

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``model install --json`` prints."""
        return {
            "schema": 1,
            "folder": str(self.folder),
            "name": self.name,
            "driver": self.driver,
            "driver_found": None if self.driver_found is None else str(self.driver_found),
        }


@dataclass(frozen=True)
class FailedModel:
    """A model that could not be installed."""

    folder: Path
    error: TorchMLError

    def as_json(self) -> dict[str, Any]:
        """An entry of what ``model install --json`` prints for several models."""
        return {
            "folder": str(self.folder.absolute()),
            "error": {
                "exit_code": self.error.exit_code,
                "message": self.error.message,
                "what_to_do": self.error.remedy,
            },
        }


def install_model(options: InstallOptions) -> InstalledModel:
    """Builds and installs a model.

    Raises NotAModelFolderError, BadNameError, BadParameterFileError, ModelFileMissingError,
    OutputExistsError, the errors about missing tools (3 to 13), collections (21, 22) and
    BuildFailedError. Changes the collection by one rename, after everything was built.
    """
    model = read_folder(options.folder)
    installed = _install(model, options, _usable_tools(options.places))
    _warn_of_missing_drivers([installed])
    return installed


def install_models(
    options: Sequence[InstallOptions],
    installed: Callable[[InstalledModel], None],
    failed: Callable[[FailedModel], None],
) -> None:
    """Builds and installs models one after the other, each completely or not at all.

    options: they differ in ``folder`` alone. A failure leaves the other models as they are; the
    functions learn of each result at once. Raises what stops all of them: the errors about missing
    tools and collections.
    """
    tools = _usable_tools(options[0].places)
    _folder_of(options[0].collection, tools)
    done: dict[str, InstalledModel] = {}
    for one in options:
        try:
            model = read_folder(one.folder)
            if (first := done.get(model.name)) is not None:
                raise OutputExistsError(
                    f"{model.folder} has the name {model.name}, too, which was just installed in "
                    f"{first.folder}.",
                    "Pack one of them with another --name.",
                )
            done[model.name] = _install(model, one, tools)
        except TorchMLError as error:
            failed(FailedModel(one.folder, error))
        except OSError as error:
            known = system_errors.known(error)
            if known is None:
                raise
            failed(FailedModel(one.folder, known))
        else:
            installed(done[model.name])
    _warn_of_missing_drivers(done.values())


def _usable_tools(places: Places) -> Toolchain:
    tools = toolchain(places)
    require_tools(tools)
    return tools


def _collections(tools: Toolchain) -> Collections:
    assert tools.kim.collections_info is not None, "a usable KIM-API has it"
    return Collections(tools.kim.collections_info)


def _folder_of(collection: Collection, tools: Toolchain) -> Path:
    return _collections(tools).folder(collection, ItemKind.MODEL)


def _install(model: ModelFolder, options: InstallOptions, tools: Toolchain) -> InstalledModel:
    folder = _folder_of(options.collection, tools)
    target = folder / model.name
    if target.exists() and not options.force:
        raise OutputExistsError(f"The model {model.name} is already installed in {folder}.")
    with staging(folder) as stage:
        plan = BuildPlan(
            tools, options.places, collection=options.collection, verbose=options.verbose
        )
        item = build_item(model, plan, stage)
        installed_files = [target / path.name for path in sorted(item.iterdir())]
        put_in_place([item], folder, stage)
    made_from = {"folder": str(model.folder), "driver": model.driver}
    receipts.write(receipts.Receipt("model", model.name, installed_files, made_from))
    collections = _collections(tools)
    found = collections.find(ItemKind.MODEL, model.name)
    if found is not None and found.folder.resolve() != folder.resolve():
        console.warn(
            f"KIM uses another {model.name}: the one in {found.folder}, since it searches the "
            f"{found.collection} collection first."
        )
    driver = collections.find(ItemKind.DRIVER, model.driver)
    return InstalledModel(target, model.name, model.driver, driver.folder if driver else None)


def _warn_of_missing_drivers(installed: Iterable[InstalledModel]) -> None:
    """Warns once of each driver that is missing."""
    missing: dict[str, list[str]] = {}
    for model in installed:
        if model.driver_found is None:
            missing.setdefault(model.driver, []).append(model.name)
    for driver, models in missing.items():
        if len(models) == 1:
            whose, them = f"the model's driver {driver}", "the model"
        else:
            whose, them = f"the driver {driver} of {len(models)} models", "them"
        console.warn(
            f"{whose} is not installed. Before you use {them}, run `torchml-install driver --name "
            f"{driver}`."
        )


def read_folder(folder: Path) -> ModelFolder:
    """Checks that a folder is a portable model with a driver and all its files."""
    folder = folder.absolute()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise NotAModelFolderError(f"The folder {folder} {what}.")
    try:
        text = (folder / "CMakeLists.txt").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise NotAModelFolderError(f"{folder} has no CMakeLists.txt.") from error
    text = re.sub(r"#[^\n]*", "", text)
    call = re.search(r"add_kim_api_model_library\s*\(([^)]*)\)", text)
    if call is None:
        raise NotAModelFolderError(
            f"{folder}/CMakeLists.txt does not call add_kim_api_model_library."
        )
    variables = dict(re.findall(r'\bset\s*\(\s*(\w+)\s+"?([^\s")]+)"?\s*\)', text))
    if project := re.search(r'\bproject\s*\(\s*"?([^\s")]+)', text):
        variables["PROJECT_NAME"] = project[1]
    arguments = _arguments(call[1], variables)
    if not arguments["NAME"] or not arguments["DRIVER_NAME"]:
        raise NotAModelFolderError(
            f"{folder}/CMakeLists.txt lacks the model's NAME or its DRIVER_NAME."
        )
    name, driver = arguments["NAME"][0], arguments["DRIVER_NAME"][0]
    check_item_name(name, "model")
    files = tuple(folder / file for file in arguments["PARAMETER_FILES"])
    for file in files:
        if not file.is_file():
            raise ModelFileMissingError(
                f"{folder}/CMakeLists.txt lists the file {file.name}, which does not exist.",
                "Copy it into the folder, or pack the model again.",
            )
    check_parameter_file(folder, files)
    return ModelFolder(folder, name, driver, files)


def _arguments(text: str, variables: dict[str, str]) -> dict[str, list[str]]:
    """``NAME "a" PARAMETER_FILES "b" "c"`` → {"NAME": ["a"], ...}, variables replaced."""
    values: dict[str, list[str]] = {"NAME": [], "DRIVER_NAME": [], "PARAMETER_FILES": []}
    current: list[str] | None = None
    for quoted, bare in re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)', text):
        word = quoted or bare
        if bare and re.fullmatch(r"[A-Z_]+", bare):
            current = values.get(bare)
            continue
        word = re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], ""), word)
        if current is not None and word:
            current.append(word)
    return values


def check_parameter_file(folder: Path, files: tuple[Path, ...]) -> None:
    """Raises an error unless ``files`` has one parameter file and the model file it names."""
    parameter_files = [file for file in files if file.suffix == ".param"]
    if len(parameter_files) != 1:
        raise NotAModelFolderError(
            f"{folder}/CMakeLists.txt lists {len(parameter_files)} parameter files (*.param) among "
            "its PARAMETER_FILES, but a model has exactly one."
        )
    parameters = parameter_file.read(parameter_files[0])
    if parameters.model_file not in [file.name for file in files]:
        raise ModelFileMissingError(
            f"{parameter_files[0]} names the model file {parameters.model_file}, which is not "
            f"among the PARAMETER_FILES of {folder}/CMakeLists.txt.",
            "Add it there, or pack the model again.",
        )


def require_tools(tools: Toolchain) -> None:
    """This compiles only KIM's code: torch may be missing, or too new for the compiler."""
    for finding in tools.findings():
        too_new_for_compiler = isinstance(finding.problem, CompilerTooOldError)
        if finding.problem is not None and finding is not tools.torch and not too_new_for_compiler:
            raise finding.problem


def build_item(model: ModelFolder, plan: BuildPlan, stage: Path) -> Path:
    """Builds in a private folder with a plain path; returns the item's folder under ``stage``.

    KIM's CMake code cannot handle spaces and quotes in paths: it must not see the user's folder.
    """
    log = cache_folder() / "logs" / f"model-{model.name}.log"
    log.unlink(missing_ok=True)
    work = Path(tempfile.mkdtemp(prefix="torchml-model-", dir=plain_temporary_parent()))
    try:
        source = work / "source"
        source.mkdir()
        shutil.copyfile(model.folder / "CMakeLists.txt", source / "CMakeLists.txt")
        for file in model.files:
            place = source / file.relative_to(model.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
        project = CMakeProject(plan, source, work / "build", log)
        project.configure(
            f"configuring {model.name}",
            {
                "KIM_API_INSTALL_COLLECTION": plan.collection.value.upper(),
                "KIM_API_PORTABLE_MODEL_INSTALL_PREFIX": work / "stage",
                "CMAKE_PROJECT_INCLUDE": shutil.copy(embedding.CMAKE_FILE, work),
            },
        )
        size = sum(path.stat().st_size for path in model.files)
        costs = embedding.Costs.of(project.build, plan.tools.kim.version)
        if note := costs.note(size):
            console.note(note)
        # One file at a time: KIM's own way takes gigabytes of memory for a large model.
        helps = costs.without_memory(size)
        project.compile(f"building {model.name}", jobs=1, without_memory=helps)
        project.install("collecting the result")
        built = work / "stage" / model.name
        if not built.is_dir():
            raise BuildFailedError(
                f"The build did not produce the model {model.name}.\n  log: {log}"
            )
        item = stage / model.name
        shutil.copytree(built, item)
        return item
    finally:
        shutil.rmtree(work, ignore_errors=True)
