"""``model pack``: makes a portable-model folder, which KIM can install, from a model file
(TorchScript or a compiled package)."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchml_installer.errors import (
    YOUR_MODEL,
    BadOptionError,
    NotPermittedError,
    OutputExistsError,
    RunFailedError,
    WrongForwardError,
)
from torchml_installer.models import (
    compiled,
    descriptor_file,
    embedding,
    graph_settings,
    precision,
    torchscript,
    trial,
)
from torchml_installer.models.parameter_file import CallingConvention, Parameters
from torchml_installer.support import console
from torchml_installer.support.elements import SYMBOLS, suggestion
from torchml_installer.support.names import DEFAULT_DRIVER_NAME, check_item_name, legal_name

#: Å. Outside, the cutoff is probably in another unit: the bond of H2 is 0.74 Å long.
_LIKELY_CUTOFFS = (1.0, 100.0)
_CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.10)

list(APPEND CMAKE_PREFIX_PATH $ENV{{KIM_API_CMAKE_PREFIX_DIR}})
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)

kim_api_items_setup_before_project(ITEM_TYPE "portableModel")
project({name})
kim_api_items_setup_after_project(ITEM_TYPE "portableModel")

include(embed.cmake OPTIONAL)  # lets the assembler embed the files

add_kim_api_model_library(
  NAME            "{name}"
  DRIVER_NAME     "{driver}"
  PARAMETER_FILES {files}
  )
"""

_NEIGHBOUR_INPUTS = ("species", "coordinates", "n_neigh", "nlist", "contributing")
_EDGE_INPUTS = ("species", "edge_index", "edge_vectors", "contributing")


@dataclass(frozen=True)
class PackOptions:
    """The options of ``model pack``.

    elements: symbols in the order of the model's species codes; cutoff: Å.
    descriptor: the descriptor file (``*.dat``) of a descriptor model.
    returns_forces: forward returns (energies, forces); returns_edge_gradient: it returns (energies,
    their gradient with respect to edge_vectors).
    precision: the floating-point type of the model's inputs (parameter_file.PRECISIONS); None: that
    of its weights, or found by evaluating the model.
    find_graph_settings: find what a graph model does not need, by evaluating it both ways.
    name: KIM name of the model; None: from the file's name. output: parent of the portable-model
    folder. atomic_numbers: whether species codes are atomic numbers; None: find out. codes_known:
    atomic_numbers is right, and need not be tested by evaluating the model. check:
    evaluate the model, and refuse one that would give wrong simulations.
    """

    file: Path
    elements: tuple[str, ...]
    cutoff: float
    pattern: CallingConvention = CallingConvention.NEIGHBOURS
    n_layers: int | None = None
    descriptor: Path | None = None
    returns_forces: bool = False
    returns_edge_gradient: bool = False
    precision: str | None = None
    name: str | None = None
    driver: str = DEFAULT_DRIVER_NAME
    output: Path = Path()
    force: bool = False
    find_graph_settings: bool = True
    atomic_numbers: bool | None = None
    codes_known: bool = False
    check: bool = True


@dataclass(frozen=True)
class PackedModel:
    """The new folder. checked: whether the model was evaluated."""

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
            "returns_edge_gradient": self.parameters.returns_edge_gradient,
            "atomic_numbers": self.parameters.atomic_numbers,
            "checked": self.checked,
            "precision": self.parameters.precision,
            "model_bytes": self.size,
        }


def pack(options: PackOptions, last: Callable[[Path], None] | None = None) -> PackedModel:
    """Checks everything, then writes the folder in one step.

    last: called with the folder before that step. It may add files, and raise to write nothing.

    Raises the model errors of errors.py (30 to 36, 46), NotPermittedError, OSError (disk full).
    """
    check_elements(options.elements)
    check_cutoff(options.cutoff)
    _note_unlikely(options.cutoff)
    n_layers = check_layers(options.pattern, options.n_layers)
    check_forces(options.pattern, options.returns_edge_gradient)
    returns_forces = options.returns_forces or options.returns_edge_gradient
    descriptor = _descriptor(options)
    _check_species(options)
    name = options.name if options.name is not None else legal_name(options.file.stem)
    check_item_name(name, "model")
    check_item_name(options.driver, "driver")
    expected = expected_inputs(options.pattern, n_layers)
    atomic_numbers = options.atomic_numbers
    if options.file.suffix == compiled.SUFFIX:
        package = compiled.inspect(options.file)
        check_package(package, options.pattern, expected, returns_forces)
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
        check_signature(model, options.pattern, expected, returns_forces)
        _check_names(model, options.pattern)
        for said in [*filter(None, [model.newer()]), *model.notes()]:
            console.warn(str(said))
        size = model.size
        recorded = precision.of_weights(model)
        if options.precision not in (None, recorded):
            # Only evaluating the model, if permitted, shows which of the two is right.
            recorded = None if options.check else options.precision
    parameters = Parameters(
        elements=options.elements,
        pattern=options.pattern,
        cutoff=options.cutoff,
        n_layers=n_layers,
        model_file=name + _suffix(options.file),
        returns_forces=returns_forces,
        returns_edge_gradient=options.returns_edge_gradient,
        n_inputs=len(expected),
        descriptor=descriptor,
        atomic_numbers=atomic_numbers,
        precision=recorded,
    )
    folder = options.output.absolute() / name
    check_output(folder, options.force)
    tried = _write(folder, name, options, parameters, last)
    return PackedModel(folder, name, options.driver, tried.parameters, size, tried.checked)


def check_elements(elements: tuple[str, ...]) -> None:
    """Raises BadOptionError unless these are different chemical symbols, at least one."""
    if not elements:
        raise BadOptionError(
            "There are no elements.", "Name the elements, for example --elements Si,C"
        )
    for symbol in elements:
        if symbol not in SYMBOLS:
            meant = suggestion(symbol)
            raise BadOptionError(
                f"'{symbol}' is not a chemical element.",
                f"Did you mean '{meant}'?"
                if meant
                else "Use chemical symbols, for example --elements Si,C",
            )
        if elements.count(symbol) > 1:
            raise BadOptionError(
                f"--elements has {symbol} twice.", "Name each species of the model once."
            )


def check_cutoff(cutoff: float) -> None:
    """Raises BadOptionError unless the cutoff (Å) is positive and finite."""
    if not (math.isfinite(cutoff) and cutoff > 0.0):
        raise BadOptionError(
            f"The cutoff must be a positive number, not {cutoff}.",
            "Give the model's cutoff in Å, for example --cutoff 3.77",
        )


def _note_unlikely(cutoff: float) -> None:
    """Warns of a cutoff (Å) that is likely to be in another unit."""
    shortest, longest = _LIKELY_CUTOFFS
    if cutoff < shortest:
        console.warn(
            f"a cutoff of {cutoff:g} Å is shorter than most bonds. --cutoff is in Å: for 0.6 nm, "
            "write --cutoff 6."
        )
    elif cutoff > longest:
        console.warn(
            f"a cutoff of {cutoff:g} Å is longer than that of any usual potential. --cutoff is in "
            "Å: for 600 pm, write --cutoff 6."
        )


def check_layers(pattern: CallingConvention, n_layers: int | None) -> int:
    """The number of message-passing layers, 1 for models without any.

    Raises BadOptionError if a graph model has no number of layers, or another model has one.
    """
    if pattern.has_layers:
        if n_layers is None or n_layers < 1:
            raise BadOptionError(
                "A model on graphs or edges needs the number of its message-passing layers.",
                "Add it, for example --layers 3",
            )
        return n_layers
    if n_layers is not None:
        raise BadOptionError("--layers is only for models on graphs or edges.", "Leave it out.")
    return 1


def check_forces(pattern: CallingConvention, edge_gradient: bool) -> None:
    """Raises BadOptionError if a model without edge_vectors is to return a gradient with respect to
    them."""
    if edge_gradient and pattern is not CallingConvention.EDGES:
        raise BadOptionError(
            "--returns-edge-gradient is only for models on edges.",
            "Add --pattern edges, or write --returns-forces if forward returns forces.",
        )


def check_output(folder: Path, force: bool) -> None:
    """Raises OutputExistsError if the folder exists and may not be replaced."""
    if not folder.exists() and not folder.is_symlink():
        return
    is_model = (folder / "CMakeLists.txt").is_file() and any(folder.glob("*.param"))
    if not is_model:
        # --force replaces models, and must not delete anything else.
        raise OutputExistsError(
            f"{folder} already exists, and is not a portable model.",
            "Choose another --name or --output.",
        )
    if not force:
        raise OutputExistsError(f"The folder {folder} already exists.")


def _check_species(options: PackOptions) -> None:
    if options.pattern is CallingConvention.DESCRIPTOR and options.atomic_numbers is not None:
        raise BadOptionError(
            "A descriptor model takes no species codes.",
            "Leave out --atomic-numbers and --species-codes.",
        )


def _descriptor(options: PackOptions) -> str:
    """The descriptor's name in the parameter file."""
    if options.pattern is not CallingConvention.DESCRIPTOR:
        if options.descriptor is not None:
            raise BadOptionError(
                "--descriptor is only for descriptor models.",
                "Add --pattern descriptor, or leave the option out.",
            )
        return "None"
    if options.descriptor is None:
        raise BadOptionError(
            "A descriptor model needs the file that describes its descriptors.",
            "Add it, for example --descriptor descriptor.dat",
        )
    if options.returns_forces:
        raise BadOptionError(
            "A descriptor model cannot return forces: it does not know the coordinates.",
            "Leave out --returns-forces: the driver then takes forces from the energy's gradient.",
        )
    return descriptor_file.kind(options.descriptor)


def expected_inputs(pattern: CallingConvention, n_layers: int) -> tuple[str, ...]:
    """The names of forward's arguments, in the driver's order."""
    if pattern is CallingConvention.DESCRIPTOR:
        return ("descriptor",)
    if pattern is CallingConvention.EDGES:
        return _EDGE_INPUTS
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
    """Raises WrongForwardError if the model's code shows that the driver cannot call it.

    Leaves unreadable code to the driver, which has libtorch check it.
    """
    signature = model.signature
    if signature is None:
        return
    if len(signature.arguments) != len(expected):
        raise WrongForwardError(
            f"forward of {model.path} takes {counted_arguments(signature.arguments)}, but "
            f"--pattern {pattern.value} needs {len(expected)} ({', '.join(expected)}).",
            _pattern_by_names(signature.arguments)
            or "Choose another --pattern. If none fits, write a module that takes these arguments "
            f"and calls the model, and save that as TorchScript: see {YOUR_MODEL}.",
        )
    if returns_forces and signature.returns == "Tensor":
        raise WrongForwardError(
            f"forward of {model.path} returns a single tensor, not energies and forces.",
            "Leave out --returns-forces: the driver then takes forces from the energy's gradient.",
        )


def counted_arguments(names: Sequence[str]) -> str:
    """As in "1 argument (data)"."""
    noun = "argument" if len(names) == 1 else "arguments"
    return f"{len(names)} {noun} ({', '.join(names) or 'none'})"


def _check_names(model: torchscript.TorchScriptFile, pattern: CallingConvention) -> None:
    """Warns of arguments that are named as for another calling convention.

    Names do not count, so this is no error: a model with two layers takes as many arguments as one
    on neighbour lists, and one on edges as many as one with a single layer.
    """
    if model.signature is None:
        return
    named = _named_for(model.signature.arguments)
    if named is not None and named is not pattern:
        console.warn(
            f"forward of {model.path} takes graphs, judging by its arguments' names "
            f"({', '.join(model.signature.arguments)}), but --pattern {pattern.value} passes "
            f"others. {_pattern_by_names(model.signature.arguments)}"
        )


def _layers_by_names(arguments: Sequence[str]) -> int:
    return sum(re.fullmatch(r"graph_layer\d+", name) is not None for name in arguments)


def _named_for(arguments: Sequence[str]) -> CallingConvention | None:
    """The calling convention with graphs that arguments are named for; None if it is neither."""
    if _layers_by_names(arguments):
        return CallingConvention.GRAPH
    return CallingConvention.EDGES if "edge_vectors" in arguments else None


def _pattern_by_names(arguments: Sequence[str]) -> str:
    """The options for a model whose arguments are named as for graphs; "" for any other."""
    named = _named_for(arguments)
    if named is None:
        return ""
    layers = _layers_by_names(arguments) or "N"
    return f"Add --pattern {named.value} --layers {layers}."


def check_package(
    package: compiled.Package,
    pattern: CallingConvention,
    expected: tuple[str, ...],
    returns_forces: bool,
) -> None:
    """Raises WrongForwardError if a package was compiled for other arguments or results."""
    found = package.arguments
    on_edges = "edge_vectors" in found, "edge_vectors" in expected
    if len(found) != len(expected) or found[0] != expected[0] or on_edges[0] != on_edges[1]:
        raise WrongForwardError(
            f"{package.path} was compiled as forward({', '.join(package.arguments)}), but "
            f"--pattern {pattern.value} needs {len(expected)} arguments ({', '.join(expected)}).",
            "Use the --pattern and --layers that it was compiled with.",
        )
    if package.returns_forces != returns_forces:
        raise WrongForwardError(
            f"{package.path} was compiled "
            + ("with" if package.returns_forces else "without")
            + " --returns-forces.",
            "Add --returns-forces." if package.returns_forces else "Leave out --returns-forces.",
        )


def _suffix(file: Path) -> str:
    """The suffix by which the driver recognises the kind of model."""
    return compiled.SUFFIX if file.suffix == compiled.SUFFIX else ".pt"


def _write(
    folder: Path,
    name: str,
    options: PackOptions,
    parameters: Parameters,
    last: Callable[[Path], None] | None,
) -> trial.Trial:
    """Writes a temporary folder beside the final one and renames it; keeps an old one until then.

    Returns the written parameters, with the results of evaluating the model: the type of its
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
        shutil.copyfile(embedding.CMAKE_FILE, fresh / embedding.CMAKE_FILE.name)
        if parameters.precision is None and options.check:
            parameters = precision.record(fresh / f"{name}.param", options.precision)
        if options.check:
            tried = trial.run(fresh / f"{name}.param", codes_known=options.codes_known)
        else:
            tried = trial.skipped(parameters, "you chose --unchecked.")
        if options.pattern is CallingConvention.GRAPH and options.find_graph_settings:
            try:
                found = graph_settings.find(fresh / f"{name}.param")
                tried = dataclasses.replace(tried, parameters=found)
            except RunFailedError as error:
                if options.check:
                    raise
                console.warn(f"the model gets all edges: {error.message}")
        if last is not None:
            last(fresh)
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
