"""``model inspect``: shows what a model file, a portable-model folder or an installed model
contains.

This only reads files: it runs no code of the model and does not import torch.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchml_installer.detect import kim_api
from torchml_installer.errors import (
    YOUR_MODEL,
    ModelFileMissingError,
    NotAModelFolderError,
    TorchMLError,
    WrongForwardError,
)
from torchml_installer.models import (
    compiled,
    descriptor_file,
    library_record,
    parameter_file,
    reading_installed,
    torchscript,
)
from torchml_installer.models.install import ModelFolder, check_parameter_file, read_folder
from torchml_installer.models.operators import Operator
from torchml_installer.models.pack import (
    check_package,
    check_signature,
    counted_arguments,
    expected_inputs,
)
from torchml_installer.models.parameter_file import CallingConvention, Parameters
from torchml_installer.support.kim_items import Collections, InstalledItem, ItemKind

_UNITS = {"length": "Å", "energy": "eV"}
_SPECIES = {
    True: "atomic numbers",
    False: "0, 1, … in the order of the elements",
    None: "not recorded: atomic numbers if KIM_MODEL_ELEMENTS_MAP is set, else 0, 1, …",
}


@dataclass(frozen=True)
class Call:
    """A way in which the driver can call forward."""

    pattern: CallingConvention
    n_layers: int

    def options(self) -> str:
        """The options of ``model pack`` for it."""
        return {
            CallingConvention.NEIGHBOURS: "",
            CallingConvention.DESCRIPTOR: " --pattern descriptor --descriptor FILE.dat",
            CallingConvention.GRAPH: f" --pattern graph --layers {self.n_layers}",
            # Its arguments do not tell how many.
            CallingConvention.EDGES: " --pattern edges --layers 3",
        }[self.pattern]

    def __str__(self) -> str:
        if self.pattern is CallingConvention.GRAPH:
            return f"graph, {self.n_layers} layer{'s' if self.n_layers > 1 else ''}"
        return str(self.pattern.value)


@dataclass(frozen=True)
class Inspection:
    """The result. facts: see ``as_json``. problems: everything that the driver would refuse."""

    kind: str
    path: Path
    facts: dict[str, Any]
    problems: tuple[TorchMLError, ...] = ()
    notes: tuple[str, ...] = ()
    next_step: str = ""

    @property
    def exit_code(self) -> int:
        return self.problems[0].exit_code if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        """schema 1: what ``model inspect --json`` prints. Fields are added, never renamed.

        kind: torchscript, compiled, portable-model or installed-model; path; problems, notes:
        sentences; next_step: a command.

        torchscript: bytes, format_version; forward: null or arguments and returns; patterns: the
        calling conventions that fit, objects with pattern and n_layers; parameters, buffers,
        constants: how many, by type, null if unknown; devices: where the model was when it was
        saved; code_devices: those written into its code; operators: objects with name and in_driver
        (true: no other library is needed); classes: those that a C++ library defines;
        libraries: the C++ libraries in the file.
        compiled: bytes, torch, device, machine, instructions, capability, arguments (objects with
        name, dtype, sizes), returns_forces, entries, atomic_numbers (true: it was compiled for
        them; null: not recorded), patterns.
        portable-model, installed-model: name, driver, driver_found (its folder or null),
        collection (in KIM's words, null for a folder), files, elements, cutoff,
        influence_distance, units, pattern, n_layers, returns_forces, returns_edge_gradient (true:
        of the energies, in place of forces), precision (of the model's inputs, null: not
        recorded), graph_settings, atomic_numbers (whether species codes are;
        null: not recorded), descriptor (null, or file, kind, functions, cutoff), library (null, or
        what ``model pack --from`` recorded about its origin), model (null, or the fields of its
        kind).
        """
        return {
            "schema": 1,
            "kind": self.kind,
            "path": str(self.path),
            **self.facts,
            "problems": [problem.message for problem in self.problems],
            "notes": list(self.notes),
            "next_step": self.next_step,
        }


@dataclass
class _Found:
    """Collects problems and notes while a folder is read."""

    problems: list[TorchMLError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def inspect(name: str, kim_root: Path | None = None) -> Inspection:
    """Inspects a file, a folder, or the model of a name that KIM knows.

    Raises the model errors of errors.py (30 to 38) if it is not a model at all; reasons to refuse a
    model are in ``problems``.
    """
    path = Path(name)
    if path.is_dir():
        model = read_folder(path)
        return _folder(model, path.absolute(), None, kim_root)
    if path.exists() or path.is_symlink() or not re.fullmatch(r"[A-Za-z_]\w*", name):
        return _file(path)
    return _installed(name, kim_root)


# --- files ----------------------------------------------------------------------------------


def _file(path: Path) -> Inspection:
    facts, found, calls, operators = _model_file(path)
    if not calls and facts.get("forward", True) is not None:
        found.problems.append(_uncallable(path, _arguments(facts)))
    _note_operators(operators, found)
    call = calls[0] if len(calls) == 1 else None
    options = "" if call is None else call.options()
    next_step = (
        f"torchml-install model pack {shlex.quote(str(path))} --elements Si,C --cutoff 5.0{options}"
    )
    return Inspection(
        kind="compiled" if path.suffix == compiled.SUFFIX else "torchscript",
        path=path.absolute(),
        facts=facts,
        problems=tuple(found.problems),
        notes=tuple(found.notes),
        next_step="" if found.problems else next_step,
    )


def _model_file(path: Path) -> tuple[dict[str, Any], _Found, list[Call], tuple[Operator, ...]]:
    found = _Found()
    if path.suffix == compiled.SUFFIX:
        package = compiled.inspect(path)
        calls = recognised_calls(package.arguments)
        facts = dataclasses.asdict(package)
        del facts["path"]
        facts["arguments"] = facts.pop("signature")
        facts["bytes"] = facts.pop("size")
        for argument in facts["arguments"]:
            argument["sizes"] = list(argument["sizes"])
        facts["instructions"], facts["entries"] = list(package.instructions), list(package.entries)
        return {**facts, "patterns": _as_json(calls)}, found, calls, ()
    model = torchscript.inspect(path)
    if (newer := model.newer()) is not None:
        found.problems.append(newer)
    signature, contents = model.signature, model.contents
    calls = []
    if signature is not None and not signature.returns.startswith("Dict["):
        calls = recognised_calls(signature.arguments)
    facts = {
        "bytes": model.size,
        "format_version": model.format_version,
        "forward": None
        if signature is None
        else {"arguments": list(signature.arguments), "returns": signature.returns},
        "patterns": _as_json(calls),
        "parameters": None if contents is None else dict(contents.parameters),
        "buffers": None if contents is None else dict(contents.buffers),
        "constants": None if contents is None else dict(contents.constants),
        "devices": None if contents is None else list(contents.devices),
        "operators": [
            {"name": str(operator), "in_driver": operator.in_driver} for operator in model.operators
        ],
        "code_devices": list(model.devices),
        "classes": list(model.classes),
        "libraries": list(model.carried),
    }
    found.notes += model.notes()
    return facts, found, calls, () if model.carried else model.operators


def _as_json(calls: Sequence[Call]) -> list[dict[str, Any]]:
    return [{"pattern": call.pattern.value, "n_layers": call.n_layers} for call in calls]


def _arguments(facts: dict[str, Any]) -> list[str]:
    if "arguments" in facts:
        return [argument["name"] for argument in facts["arguments"]]
    return list(facts["forward"]["arguments"])


def recognised_calls(arguments: Sequence[str]) -> list[Call]:
    """The ways to call forward that fit its arguments, by their number and then their names."""
    count = len(arguments)
    if count == 1:
        return [Call(CallingConvention.DESCRIPTOR, 1)]
    graph = [Call(CallingConvention.GRAPH, count - 3)] if count >= 4 else []
    if count == 4:
        return _one_layer_or_edges(arguments)
    neighbours = [Call(CallingConvention.NEIGHBOURS, 1)] if count == 5 else []
    between = " ".join(arguments[2:-1]).lower()
    if neighbours and re.search("graph|edge", between):
        return graph
    if neighbours and re.search("neigh|nlist|nbr", between):
        return neighbours
    return neighbours + graph


def _one_layer_or_edges(arguments: Sequence[str]) -> list[Call]:
    """Of four arguments: a staged graph of one layer has coordinates and a graph, a model on edges
    a graph and vectors."""
    graph, edges = Call(CallingConvention.GRAPH, 1), Call(CallingConvention.EDGES, 1)
    second, third = (name.lower() for name in arguments[1:3])
    if re.search("vec|disp|shift|r_?ij", third) or re.search("index|graph", second):
        return [edges]
    if re.search("coord|pos|xyz", second) or re.search("index|graph", third):
        return [graph]
    return [graph, edges]


def _uncallable(path: Path, arguments: Sequence[str]) -> WrongForwardError:
    ways = (
        ", ".join(expected_inputs(pattern, 1))
        for pattern in (
            CallingConvention.NEIGHBOURS,
            CallingConvention.GRAPH,
            CallingConvention.DESCRIPTOR,
            CallingConvention.EDGES,
        )
    )
    return WrongForwardError(
        f"forward of {path} takes {counted_arguments(arguments)}, but the driver calls "
        f"forward({') or forward('.join(ways)}).",
        f"Write a module that takes these arguments and calls the model: see {YOUR_MODEL}.",
    )


def _note_operators(operators: Sequence[Operator], found: _Found) -> None:
    foreign = sorted({str(operator) for operator in operators if not operator.in_driver})
    if foreign:
        found.notes.append(
            f"The model calls {', '.join(foreign)}, which neither torch nor the driver has. To run "
            "it, set KIM_MODEL_TORCH_EXTENSIONS to the library with these operators."
        )


# --- folders and installed models -----------------------------------------------------------


def _installed(name: str, kim_root: Path | None) -> Inspection:
    missing = ModelFileMissingError(
        f"{name} is not a file, a folder or an installed KIM model.",
        "Check the path; `kim-api-collections-management list` shows what is installed.",
    )
    collections = _collections(kim_root)
    item = collections.find(ItemKind.MODEL, name) if collections is not None else None
    if item is None:
        raise missing
    with tempfile.TemporaryDirectory(prefix="torchml-inspect-") as place:
        unpacked = reading_installed.unpack(item, Path(place))
        if not any(file.suffix == ".param" for file in unpacked.files):
            raise NotAModelFolderError(
                f"{name} in {item.folder} is not a Torch model: it uses the driver "
                f"{unpacked.driver or '(none)'}.",
                "",
            )
        model = ModelFolder(Path(place), name, unpacked.driver, unpacked.files)
        check_parameter_file(item.folder / name, model.files)
        return _folder(model, item.folder / name, item, kim_root)


def _folder(
    model: ModelFolder, shown: Path, item: InstalledItem | None, kim_root: Path | None
) -> Inspection:
    files = {file.name: file for file in model.files}
    parameter_name = next(name for name in files if name.endswith(".param"))
    parameters = parameter_file.read(files[parameter_name])
    found = _Found()
    model_facts: dict[str, Any] | None = None
    try:
        model_path = files[parameters.model_file]
        model_facts, of_file, _, operators = _model_file(model_path)
        found.problems += of_file.problems
        _note_operators(operators, found)
        _check_call(model_path, parameters)
    except TorchMLError as error:
        found.problems.append(error)
    descriptor = _descriptor(parameters, files, found)
    collections = _collections(kim_root)
    driver = collections.find(ItemKind.DRIVER, model.driver) if collections is not None else None
    library: dict[str, Any] | None = None
    try:
        library = library_record.read(shown)
    except ValueError as error:
        found.notes.append(f"{shown / library_record.RECORD} cannot be read: {error}.")
    facts = {
        "name": model.name,
        "driver": model.driver,
        "driver_found": None if driver is None else str(driver.folder / driver.name),
        "collection": None if item is None else item.collection,
        "files": sorted(files),
        "elements": list(parameters.elements),
        "cutoff": parameters.cutoff,
        "influence_distance": parameters.influence_distance,
        "units": dict(_UNITS),
        "pattern": parameters.pattern.value,
        "n_layers": parameters.n_layers,
        "returns_forces": parameters.returns_forces,
        "returns_edge_gradient": parameters.returns_edge_gradient,
        "precision": parameters.precision,
        "graph_settings": parameters.graph.lines(),
        "atomic_numbers": parameters.atomic_numbers,
        "descriptor": descriptor,
        "library": library,
        "model": model_facts,
    }
    if found.problems:
        next_step = "torchml-install model pack FILE --elements ... --cutoff ..."
    elif driver is None:
        next_step = f"torchml-install driver --name {model.driver}"
    elif item is None:
        next_step = f"torchml-install model install {shlex.quote(str(shown))}"
    else:
        next_step = ""
    return Inspection(
        kind="portable-model" if item is None else "installed-model",
        path=shown,
        facts=facts,
        problems=tuple(found.problems),
        notes=tuple(found.notes),
        next_step=next_step,
    )


def _check_call(model_file: Path, parameters: Parameters) -> None:
    expected = expected_inputs(parameters.pattern, parameters.n_layers)
    if model_file.suffix == compiled.SUFFIX:
        package = compiled.inspect(model_file)
        check_package(package, parameters.pattern, expected, parameters.returns_forces)
    else:
        model = torchscript.inspect(model_file)
        check_signature(model, parameters.pattern, expected, parameters.returns_forces)


def _descriptor(
    parameters: Parameters, files: dict[str, Path], found: _Found
) -> dict[str, Any] | None:
    if parameters.pattern is not CallingConvention.DESCRIPTOR:
        return None
    name = next((name for name in sorted(files) if name.endswith(".dat")), None)
    if name is None:
        found.problems.append(
            ModelFileMissingError(
                "This descriptor model has no descriptor file (*.dat).",
                "Pack it again with --descriptor FILE.dat.",
            )
        )
        return None
    try:
        summary = descriptor_file.summary(files[name])
    except TorchMLError as error:
        found.problems.append(error)
        return None
    return {"file": name, **summary}


def _collections(kim_root: Path | None) -> Collections | None:
    finding = kim_api.detect(kim_root)
    if not finding.usable or finding.collections_info is None:
        return None
    return Collections(finding.collections_info)


# --- text -----------------------------------------------------------------------------------


def lines(inspection: Inspection) -> list[str]:
    """The text for people: one fact per line."""
    facts = inspection.facts
    shown: list[tuple[str, str]] = []
    if inspection.kind in ("torchscript", "compiled"):
        title = "TorchScript" if inspection.kind == "torchscript" else "compiled model"
        head = f"{inspection.path}: {title}"
        shown += _file_lines(facts)
        shown.append(("called with", _calls_text(facts)))
    else:
        what = "portable model" if facts["collection"] is None else "installed model"
        head = f"{facts['name']}: {what} in {inspection.path}"
        has_layers = facts["pattern"] in ("graph", "edges")
        graph = f", {facts['n_layers']} layers" if has_layers else ""
        found = facts["driver_found"]
        shown += [
            ("driver", f"{facts['driver']} ({'not installed' if found is None else found})"),
            ("elements", " ".join(facts["elements"])),
            ("cutoff", f"{facts['cutoff']} Å (influence distance {facts['influence_distance']} Å)"),
            ("called with", facts["pattern"] + graph),
        ]
        if facts["pattern"] != "descriptor":
            shown.append(("species", _SPECIES[facts["atomic_numbers"]]))
        if facts["precision"] is not None:
            shown.append(("inputs", facts["precision"]))
        if facts["returns_forces"]:
            second = "gradient by edges" if facts["returns_edge_gradient"] else "forces"
            shown.append(("returns", f"energies and {second}"))
        if facts["library"] is not None:
            shown += library_record.lines(facts["library"])
        shown += [("setting", setting) for setting in facts["graph_settings"]]
        if facts["descriptor"] is not None:
            shown.append(("descriptor", _descriptor_text(facts["descriptor"])))
        shown.append(("files", " ".join(facts["files"])))
        if facts["model"] is not None:
            shown += _file_lines(facts["model"])
    text = [head, *(f"  {name:12} {value}" for name, value in shown)]
    text += [f"note: {note}" for note in inspection.notes]
    for problem in inspection.problems:
        text += [f"problem: {problem.message}", f"  what to do: {problem.remedy}"]
    if inspection.next_step:
        text.append(f"next: {inspection.next_step}")
    return text


def _file_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    if "entries" in facts:
        arguments = ", ".join(
            f"{argument['name']}: {argument['dtype']} ({', '.join(argument['sizes'])})"
            for argument in facts["arguments"]
        )
        device = f"{facts['device']} {facts['capability']}".strip()
        return [
            ("forward", f"({arguments})"),
            ("returns", "energies and forces" if facts["returns_forces"] else "energies"),
            ("needs", f"torch {facts['torch']}, {device}, {facts['machine']}"),
            ("instructions", " ".join(facts["instructions"])),
            ("size", _size(facts["bytes"])),
        ]
    forward = facts["forward"]
    signature = "cannot be read"
    if forward is not None:
        signature = f"forward({', '.join(forward['arguments'])}) -> {forward['returns']}"
    shown = [("forward", signature)]
    for name in ("parameters", "buffers", "constants"):
        if facts[name]:
            shown.append((name, ", ".join(f"{n} {kind}" for kind, n in facts[name].items())))
    if facts["devices"] and facts["devices"] != ["cpu"]:
        shown.append(("saved on", " ".join(facts["devices"])))
    if facts["operators"]:
        shown.append(
            (
                "operators",
                ", ".join(
                    item["name"] + (" (the driver's own)" if item["in_driver"] else "")
                    for item in facts["operators"]
                ),
            )
        )
    if facts["code_devices"]:
        shown.append(("device", f"{', '.join(facts['code_devices'])}, written into the code"))
    if facts["classes"]:
        shown.append(("classes", ", ".join(facts["classes"])))
    if facts["libraries"]:
        shown.append(("libraries", f"{', '.join(facts['libraries'])}, in the file"))
    version = facts["format_version"]
    shown.append(("size", f"{_size(facts['bytes'])}, format {version or 'unknown'}"))
    return shown


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _calls_text(facts: dict[str, Any]) -> str:
    calls = [
        Call(CallingConvention(item["pattern"]), item["n_layers"]) for item in facts["patterns"]
    ]
    return " or ".join(map(str, calls)) or "unknown"


def _descriptor_text(descriptor: dict[str, Any]) -> str:
    functions = ", ".join(f"{n} {name}" for name, n in descriptor["functions"].items())
    cutoff = descriptor["cutoff"]
    reach = "" if cutoff is None else f", up to {cutoff} Å"
    return f"{descriptor['kind']}{f' ({functions})' if functions else ''}{reach}"
