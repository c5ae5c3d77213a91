"""The parameter file (``*.param``) of a portable model.

One value per line, in a fixed order; ``#`` starts a comment. Real files differ in comments and
blank lines, so only the order of the values matters here. Files that this module writes have the
layout of the original driver, which counts lines:

number of elements; element symbols; preprocessing (None, Descriptor, Graph, Edges; any case);
cutoff in Å; number of layers (Graph and Edges); model file; returns forces (True, False; any case);
number of inputs; descriptor name. Settings of this driver may follow, one ``name value`` per line;
other drivers never read that far.

The driver's reader (driver_src/src/base/parameters.cpp) accepts the same files and reports the same
errors; a test compares the two.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from torchml_installer.errors import BadParameterFileError, TorchMLError
from torchml_installer.models import value_lines
from torchml_installer.support import files
from torchml_installer.support.elements import SYMBOLS, suggestion

#: Bytes. Parameter files have a dozen short lines, descriptor files a few hundred: anything much
#: longer is another kind of file.
_LONGEST = 1 << 20


class CallingConvention(str, enum.Enum):
    """The model's calling convention, with the values of ``--pattern``."""

    NEIGHBOURS = "neighbours"
    DESCRIPTOR = "descriptor"
    GRAPH = "graph"
    EDGES = "edges"

    @property
    def preprocessing(self) -> str:
        """Its name in the parameter file."""
        return "None" if self is CallingConvention.NEIGHBOURS else self.value.capitalize()

    @property
    def has_layers(self) -> bool:
        """Whether models have a number of message-passing layers."""
        return self in (CallingConvention.GRAPH, CallingConvention.EDGES)


#: The settings that may follow the values, and their calling conventions.
_SETTINGS = {
    "edge_receiver_row": (CallingConvention.GRAPH,),
    "drop_unused_particles": (CallingConvention.GRAPH,),
    "precision": tuple(CallingConvention),
    "atomic_numbers": (
        CallingConvention.NEIGHBOURS,
        CallingConvention.GRAPH,
        CallingConvention.EDGES,
    ),
    "returns_edge_gradient": (CallingConvention.EDGES,),
}

#: The values of the setting ``precision``.
PRECISIONS = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class GraphSettings:
    """Work that a graph model lets the driver skip, with the same results.

    edge_receiver_row: the row of edge_index (0 or 1) with the receiving particles, if the model
    needs only the directed edges whose receiver some layer evaluates. None: the model gets every
    pair of neighbours, in both directions.
    drop_unused_particles: the model does not get particles without edges.
    """

    edge_receiver_row: int | None = None
    drop_unused_particles: bool = False

    def lines(self) -> list[str]:
        """The lines of the parameter file."""
        found = []
        if self.edge_receiver_row is not None:
            found.append(f"edge_receiver_row {self.edge_receiver_row}")
        if self.drop_unused_particles:
            found.append("drop_unused_particles True")
        return found


@dataclass(frozen=True)
class Parameters:
    """The values of a parameter file.

    elements: symbols, in the order of the model's species codes. cutoff: Å.
    n_layers: message-passing layers, 1 for models without graphs.
    precision: the floating-point type of the model's inputs (one of PRECISIONS); atomic_numbers:
    whether its species codes are atomic numbers. None: not recorded.
    returns_edge_gradient: a model on edges returns the energy's gradient with respect to
    edge_vectors in place of forces.
    """

    elements: tuple[str, ...]
    pattern: CallingConvention
    cutoff: float
    model_file: str
    returns_forces: bool = False
    n_inputs: int = 5
    n_layers: int = 1
    descriptor: str = "None"
    graph: GraphSettings = GraphSettings()
    precision: str | None = None
    atomic_numbers: bool | None = None
    returns_edge_gradient: bool = False

    @property
    def influence_distance(self) -> float:
        """Å: the largest distance at which one particle changes another's energy."""
        return self.cutoff * self.n_layers

    def as_text(self) -> str:
        """The contents of the file."""
        cutoff = [repr(self.cutoff)]
        title = "Cutoff (angstrom)"
        if self.pattern.has_layers:
            cutoff.append(str(self.n_layers))
            title += ", number of graph layers"
        # The original driver expects elements and layers on the line after the number before them,
        # and one line of any kind between all other values: here, the comment.
        values = [
            (
                "Number of elements, elements in the order of the model's species codes",
                [str(len(self.elements)), " ".join(self.elements)],
            ),
            ("Preprocessing", [self.pattern.preprocessing]),
            (title, cutoff),
            ("Model file", [self.model_file]),
            ("Returns forces", [str(self.returns_forces)]),
            ("Number of inputs", [str(self.n_inputs)]),
            ("Descriptor", [self.descriptor]),
        ]
        text = "".join("\n".join([f"# {comment}", *lines, ""]) for comment, lines in values)
        recorded = []
        if self.precision is not None:
            recorded.append(f"precision {self.precision}")
        if self.atomic_numbers is not None:
            recorded.append(f"atomic_numbers {self.atomic_numbers}")
        returned = ["returns_edge_gradient True"] if self.returns_edge_gradient else []
        for comment, settings in (
            ("Input of the model", recorded),
            ("What the model returns in place of forces", returned),
            ("Settings that save work without changing results", self.graph.lines()),
        ):
            if settings:
                text += "\n".join(["", f"# {comment}", *settings, ""])
        return text


def read(path: Path) -> Parameters:
    """Reads and checks a parameter file. Raises BadParameterFileError, naming file and line."""
    hint = "Name the model's *.param file, which in turn names the model."
    return parse(read_text(path, "parameter file", hint, BadParameterFileError), path)


def read_text(path: Path, what: str, hint: str, unreadable: type[TorchMLError]) -> str:
    """The text of a small file that people may have written.

    what: the kind of file, for messages. Raises ``unreadable`` if it cannot be read, and
    BadParameterFileError, with the hint, if it is not text.
    """
    try:
        data = files.beginning(path, _LONGEST + 1)
    except OSError as error:
        raise unreadable(
            f"The {what} {path} cannot be read: {error.strerror}.",
            "Check the path and its permissions.",
        ) from error
    # In every encoding, text has no control characters except white space.
    if len(data) > _LONGEST or any(byte < 32 and byte not in b"\t\n\v\f\r" for byte in data):
        raise BadParameterFileError(f"The {what} {path} is not a text file.", hint)
    return data.decode("utf-8", errors="replace")


def parse(text: str, path: Path) -> Parameters:
    """Parses and checks the text of a parameter file; ``path`` is for messages."""
    lines = _Lines(text, path)
    count = lines.whole_number("the number of elements", most=len(SYMBOLS))
    elements: list[str] = []
    while len(elements) < count:
        for symbol in value_lines.words(lines.next("the elements")):
            _check_element(lines, symbol, elements, count)
            elements.append(symbol)
    if len(elements) > count:
        lines.reject(f"the number of elements is {count}, but {len(elements)} are named")
    word = lines.next("the preprocessing")
    patterns = {pattern.preprocessing.lower(): pattern for pattern in CallingConvention}
    pattern = patterns.get(word.lower())
    if pattern is None:
        lines.reject(f"the preprocessing must be None, Descriptor, Graph or Edges, not '{word}'")
    cutoff = lines.length("the cutoff")
    n_layers = 1
    if pattern.has_layers:
        n_layers = lines.whole_number("the number of graph layers", most=1000)
    parameters = Parameters(
        elements=tuple(elements),
        pattern=pattern,
        cutoff=cutoff,
        n_layers=n_layers,
        model_file=lines.next("the model file's name"),
        returns_forces=lines.truth("'returns forces'"),
        n_inputs=lines.whole_number("the number of inputs", most=10_000),
        descriptor=lines.next("the descriptor's name"),
    )
    while (line := lines.rest()) is not None:
        parameters = _with_setting(parameters, lines, line)
    return parameters


def _with_setting(parameters: Parameters, lines: _Lines, line: str) -> Parameters:
    name, value, *rest = [*value_lines.words(line), ""]
    patterns = _SETTINGS.get(name)
    if patterns is None:
        *others, last = _SETTINGS
        lines.reject(f"unknown setting '{name}'; the settings are {', '.join(others)} and {last}")
    if parameters.pattern not in patterns:
        *first, last = (pattern.preprocessing for pattern in patterns)
        known = f"{', '.join(first)} or {last}" if first else last
        lines.reject(f"the setting {name} applies only to models with preprocessing {known}")
    if name == "edge_receiver_row":
        if value not in ("0", "1"):
            lines.reject(f"edge_receiver_row must be 0 or 1, not '{value}'")
        graph = dataclasses.replace(parameters.graph, edge_receiver_row=int(value))
        changed = dataclasses.replace(parameters, graph=graph)
    elif name == "precision":
        if value not in PRECISIONS:
            *others, last = PRECISIONS
            lines.reject(f"precision must be {', '.join(others)} or {last}, not '{value}'")
        changed = dataclasses.replace(parameters, precision=value)
    else:
        if value.lower() not in ("true", "false"):
            lines.reject(f"{name} must be True or False, not '{value}'")
        chosen = value.lower() == "true"
        if name == "atomic_numbers":
            changed = dataclasses.replace(parameters, atomic_numbers=chosen)
        elif name == "returns_edge_gradient":
            if chosen and not parameters.returns_forces:
                lines.reject("'returns forces' must be True where returns_edge_gradient is")
            changed = dataclasses.replace(parameters, returns_edge_gradient=chosen)
        else:
            graph = dataclasses.replace(parameters.graph, drop_unused_particles=chosen)
            changed = dataclasses.replace(parameters, graph=graph)
    if any(rest):
        lines.reject(f"the setting {name} takes one value")
    return changed


def _check_element(lines: _Lines, symbol: str, before: list[str], count: int) -> None:
    if symbol not in SYMBOLS:
        meant = suggestion(symbol)
        hint = f"did you mean '{meant}'?" if meant else f"the number of elements is {count}."
        lines.reject(f"'{symbol}' is not an element symbol; {hint}")
    if symbol in before:
        lines.reject(f"the element {symbol} is named twice")


class _Lines:
    """The lines that carry values, with their numbers for messages."""

    def __init__(self, text: str, path: Path) -> None:
        self._path = path
        self._number = 0
        self._values = self._without_comments(text)

    def _without_comments(self, text: str) -> Iterator[str]:
        for number, line in enumerate(text.split("\n"), start=1):
            value = value_lines.value(line)
            if value:
                self._number = number
                yield value

    def reject(self, reason: str) -> NoReturn:
        raise BadParameterFileError(
            f"{self._path}, line {self._number}: {reason}{'' if reason[-1] in '.?' else '.'}",
            "Correct that line, or write a new file with `torchml-install model pack`.",
        )

    def rest(self) -> str | None:
        return next(self._values, None)

    def next(self, what: str) -> str:
        value = self.rest()
        if value is None:
            where = f"after line {self._number}" if self._number else "it has no values at all"
            raise BadParameterFileError(
                f"{self._path} ends before {what} ({where}).",
                "The values, in order: number of elements, elements, preprocessing, cutoff, "
                "[layers of Graph or Edges], model file, returns forces, number of inputs, "
                "descriptor.",
            )
        return value

    def whole_number(self, what: str, most: int) -> int:
        text = self.next(what)
        value = value_lines.whole_number(text)
        if value is None or not 1 <= value <= most:
            self.reject(f"{what} must be a whole number from 1 to {most}, not '{text}'")
        return value

    def length(self, what: str) -> float:
        text = self.next(what)
        value = value_lines.number(text)
        if value is None or value <= 0.0:
            self.reject(f"{what} must be a positive number (in Å), not '{text}'")
        return value

    def truth(self, what: str) -> bool:
        text = self.next(what)
        if text.lower() not in ("true", "false"):
            self.reject(f"{what} must be True or False, not '{text}'")
        return text.lower() == "true"
