"""``model pack``: makes a portable-model folder, which KIM can install, from a model file
(TorchScript or a compiled package)."""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml_installer.errors import (
    BadOptionError,
    NotPermittedError,
    OutputExistsError,
    RunFailedError,
    WrongForwardError,
)
from torchml_installer.models import (
    compiled,
    descriptor_file,
    graph_settings,
    precision,
    torchscript,
    trial,
)
from torchml_installer.models.parameter_file import CallingConvention, Parameters
from torchml_installer.support import console
from torchml_installer.support.elements import SYMBOLS, suggestion
from torchml_installer.support.names import DEFAULT_DRIVER_NAME, check_item_name, legal_name

_CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.10)

list(APPEND CMAKE_PREFIX_PATH $ENV{{KIM_API_CMAKE_PREFIX_DIR}})
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)

kim_api_items_setup_before_project(ITEM_TYPE "portableModel")
project({name})
kim_api_items_setup_after_project(ITEM_TYPE "portableModel")

add_kim_api_model_library(
  NAME            "{name}"
  DRIVER_NAME     "{driver}"
  PARAMETER_FILES {files}
  )
"""

_NEIGHBOUR_INPUTS = ("species", "coordinates", "n_neigh", "nlist", "contributing")


@dataclass(frozen=True)
class PackOptions:
    """The options of ``model pack``.

    elements: symbols in the order of the model's species codes; cutoff: Å.
    descriptor: the descriptor file (``*.dat``) of a model on descriptors.
    precision: the floating-point type of the model's inputs (parameter_file.PRECISIONS), None: that
    of its weights, or determined by evaluating the model.
    find_graph_settings: determine what a graph model does not need, by evaluating it both ways.
    name: KIM name of the model, None: derived from the file's name. output: parent of the
    portable-model folder. atomic_numbers: whether species codes are atomic numbers, None: determine
    it. check: evaluate the model, and refuse one that would make a simulation wrong.
    """

    file: Path
    elements: tuple[str, ...]
    cutoff: float
    pattern: CallingConvention = CallingConvention.NEIGHBOURS
    n_layers: int | None = None
    descriptor: Path | None = None
    returns_forces: bool = False
    precision: str | None = None
    name: str | None = None
    driver: str = DEFAULT_DRIVER_NAME
    output: Path = Path()
    force: bool = False
    find_graph_settings: bool = True
    atomic_numbers: bool | None = None
    check: bool = True


@dataclass(frozen=True)
class PackedModel:
    """The folder that was made. checked: whether the model was evaluated for it."""

    folder: Path
    name: str
    driver: str
    parameters: Parameters
    size: int
    checked: bool

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``model pack --json`` prints."""
        return {
            "schema": 1,
            "folder": str(self.folder),
            "name": self.name,
            "driver": self.driver,
            "elements": list(self.parameters.elements),
            "cutoff": self.parameters.cutoff,
            "influence_distance": self.parameters.influence_distance,
            "pattern": self.parameters.pattern.value,
            "n_layers": self.parameters.n_layers,
            "descriptor": self.parameters.descriptor,
            "graph_settings": self.parameters.graph.lines(),
            "returns_forces": self.parameters.returns_forces,
            "atomic_numbers": self.parameters.atomic_numbers,
            "checked": self.checked,
            "precision": self.parameters.precision,
            "model_bytes": self.size,
        }


def pack(options: PackOptions) -> PackedModel:
    """Checks everything, then writes the folder in one step.

    Raises the model errors of errors.py (30 to 36, 46), NotPermittedError, OSError (disk full).
    """
    check_elements(options.elements)
    check_cutoff(options.cutoff)
    n_layers = check_layers(options.pattern, options.n_layers)
    descriptor = _descriptor(options)
    _check_species(options)
    name = options.name if options.name is not None else legal_name(options.file.stem)
    check_item_name(name, "model")
    check_item_name(options.driver, "driver")
    expected = expected_inputs(options.pattern, n_layers)
    atomic_numbers = options.atomic_numbers
    if options.file.suffix == compiled.SUFFIX:
        package = compiled.inspect(options.file)
        check_package(package, options.pattern, expected, options.returns_forces)
        if package.atomic_numbers and atomic_numbers is False:
            raise BadOptionError(
                f"{options.file} was compiled with --atomic-numbers.", "Leave out --species-codes."
            )
        if atomic_numbers is None and options.pattern is not CallingConvention.DESCRIPTOR:
            atomic_numbers = package.atomic_numbers
        size = package.size
        recorded = precision.of_package(package, options.precision)
    else:
        model = torchscript.inspect(options.file)
        check_signature(model, options.pattern, expected, options.returns_forces)
        for said in [*filter(None, [model.newer()]), *model.notes()]:
            console.warn(str(said))
        size = model.size
        recorded = precision.of_weights(model)
        if options.precision not in (None, recorded):
            # Only evaluating the model shows which of the two it is, if that is allowed.
            recorded = None if options.check else options.precision
    parameters = Parameters(
        elements=options.elements,
        pattern=options.pattern,
        cutoff=options.cutoff,
        n_layers=n_layers,
        model_file=name + _suffix(options.file),
        returns_forces=options.returns_forces,
        n_inputs=len(expected),
        descriptor=descriptor,
        atomic_numbers=atomic_numbers,
        precision=recorded,
    )
    folder = options.output.absolute() / name
    _check_output(folder, options.force)
    tried = _write(folder, name, options, parameters)
    return PackedModel(folder, name, options.driver, tried.parameters, size, tried.checked)


def check_elements(elements: tuple[str, ...]) -> None:
    """Raises BadOptionError unless these are different chemical symbols, at least one."""
    if not elements:
        raise BadOptionError(
            "No element was named.", "Name the elements, for example --elements Si,C"
        )
    for symbol in elements:
        if symbol not in SYMBOLS:
            meant = suggestion(symbol)
            raise BadOptionError(
                f"There is no element '{symbol}'.",
                f"Did you mean '{meant}'?" if meant else "Use chemical symbols: --elements Si,C",
            )
        if elements.count(symbol) > 1:
            raise BadOptionError(
                f"The element {symbol} is named twice.", "Name each species of the model once."
            )


def check_cutoff(cutoff: float) -> None:
    """Raises BadOptionError unless the cutoff (Å) is positive and finite."""
    if not (math.isfinite(cutoff) and cutoff > 0.0):
        raise BadOptionError(
            f"The cutoff has to be a positive number, not {cutoff}.",
            "Give the model's cutoff in Å, for example --cutoff 3.77",
        )


def check_layers(pattern: CallingConvention, n_layers: int | None) -> int:
    """The number of message-passing layers, 1 for models without any.

    Raises BadOptionError if a graph model has no number of layers, or another model has one.
    """
    if pattern is CallingConvention.GRAPH:
        if n_layers is None or n_layers < 1:
            raise BadOptionError(
                "A graph model needs its number of message-passing layers.",
                "Add it, for example --layers 3",
            )
        return n_layers
    if n_layers is not None:
        raise BadOptionError("--layers is only for graph models.", "Leave it out.")
    return 1


def _check_output(folder: Path, force: bool) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    is_model = (folder / "CMakeLists.txt").is_file() and any(folder.glob("*.param"))
    if not is_model:
        # --force replaces models; it must not delete anything else of the same name.
        raise OutputExistsError(
            f"{folder} exists already, but is not a portable model.",
            "Choose another --name or --output.",
        )
    if not force:
        raise OutputExistsError(f"The folder {folder} exists already.")


def _check_species(options: PackOptions) -> None:
    if options.pattern is CallingConvention.DESCRIPTOR and options.atomic_numbers is not None:
        raise BadOptionError(
            "A model on descriptors gets no species codes.",
            "Leave out --atomic-numbers and --species-codes.",
        )


def _descriptor(options: PackOptions) -> str:
    """The descriptor's name in the parameter file."""
    if options.pattern is not CallingConvention.DESCRIPTOR:
        if options.descriptor is not None:
            raise BadOptionError(
                "--descriptor is only for models on descriptors.",
                "Add --pattern descriptor, or leave it out.",
            )
        return "None"
    if options.descriptor is None:
        raise BadOptionError(
            "A model on descriptors needs the file that describes them.",
            "Add it, for example --descriptor descriptor.dat",
        )
    if options.returns_forces:
        raise BadOptionError(
            "A model that gets descriptors instead of coordinates cannot return forces.",
            "Leave out --returns-forces: forces are then the negative gradient of the energy.",
        )
    return descriptor_file.kind(options.descriptor)


def expected_inputs(pattern: CallingConvention, n_layers: int) -> tuple[str, ...]:
    """The names of forward's arguments, in the order in which the driver passes them."""
    if pattern is CallingConvention.DESCRIPTOR:
        return ("descriptor",)
    if pattern is CallingConvention.GRAPH:
        edges = (f"graph_layer{layer}" for layer in range(1, n_layers + 1))
        return ("species", "coordinates", *edges, "contributing")
    return _NEIGHBOUR_INPUTS


def check_signature(
    model: torchscript.TorchScriptFile,
    pattern: CallingConvention,
    expected: tuple[str, ...],
    returns_forces: bool,
) -> None:
    """Raises WrongForwardError if the driver cannot call the model, according to the model's code.

    Code that cannot be read is left to the driver, which asks libtorch.
    """
    signature = model.signature
    if signature is None:
        return
    if len(signature.arguments) != len(expected):
        raise WrongForwardError(
            f"forward of {model.path} takes {len(signature.arguments)} arguments "
            f"({', '.join(signature.arguments) or 'none'}); with the calling "
            f"convention '{pattern.value}' it takes {len(expected)} ({', '.join(expected)}).",
            "Change the model's forward, or choose another --pattern.",
        )
    if returns_forces and signature.returns == "Tensor":
        raise WrongForwardError(
            f"forward of {model.path} returns a single tensor, without forces.",
            "Leave out --returns-forces: forces are then the negative gradient of the energy.",
        )


def check_package(
    package: compiled.Package,
    pattern: CallingConvention,
    expected: tuple[str, ...],
    returns_forces: bool,
) -> None:
    """Raises WrongForwardError if a package was compiled for other arguments or results."""
    if len(package.arguments) != len(expected) or package.arguments[0] != expected[0]:
        raise WrongForwardError(
            f"{package.path} was compiled as forward({', '.join(package.arguments)}); with the "
            f"calling convention '{pattern.value}' forward takes {len(expected)} arguments "
            f"({', '.join(expected)}).",
            "Choose the --pattern and --layers that it was compiled with.",
        )
    if package.returns_forces != returns_forces:
        raise WrongForwardError(
            f"{package.path} was compiled "
            + ("with" if package.returns_forces else "without")
            + " --returns-forces.",
            "Add --returns-forces." if package.returns_forces else "Leave out --returns-forces.",
        )


def _suffix(file: Path) -> str:
    """The extension by which the driver recognises the kind of model."""
    return compiled.SUFFIX if file.suffix == compiled.SUFFIX else ".pt"


def _write(folder: Path, name: str, options: PackOptions, parameters: Parameters) -> trial.Trial:
    """Makes the folder beside its place and renames it; a folder it replaces is kept until then.

    Returns the parameters as written, with what evaluating the model showed: the type of its
    inputs, its species codes, and what a graph model does not need.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise NotPermittedError(f"Cannot write to {folder.parent}: {error.strerror}.") from error
    try:
        fresh = work / "new"
        fresh.mkdir()
        files = [f"{name}.param", parameters.model_file]
        (fresh / f"{name}.param").write_text(parameters.as_text(), encoding="utf-8")
        shutil.copyfile(options.file, fresh / parameters.model_file)
        if options.descriptor is not None:
            files.append(f"{name}.dat")
            shutil.copyfile(options.descriptor, fresh / f"{name}.dat")
        listed = " ".join(f'"{file}"' for file in files)
        cmake_lists = _CMAKE_LISTS.format(name=name, driver=options.driver, files=listed)
        (fresh / "CMakeLists.txt").write_text(cmake_lists, encoding="utf-8")
        if parameters.precision is None and options.check:
            parameters = precision.record(fresh / f"{name}.param", options.precision)
        if options.check:
            tried = trial.run(fresh / f"{name}.param")
        else:
            tried = trial.skipped(parameters, "--unchecked was given.")
        if options.pattern is CallingConvention.GRAPH and options.find_graph_settings:
            try:
                found = graph_settings.find(fresh / f"{name}.param")
                tried = dataclasses.replace(tried, parameters=found)
            except RunFailedError as error:
                if options.check:
                    raise
                console.warn(f"the model runs with all edges: {error.message}")
        replaced = work / "replaced"
        try:
            if folder.exists():
                folder.rename(replaced)
            fresh.rename(folder)
        except BaseException:
            if replaced.exists() and not folder.exists():
                replaced.rename(folder)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return tried
