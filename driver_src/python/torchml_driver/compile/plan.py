"""A plan: a compiled entry in parts, some of which take rows (edges, say) a block at a time.

A block fits the core's cache, whatever the number of edges, and cores share the blocks.

Values are numbered: first the model's arguments, then what the steps make. The package holds a line
of JSON for each step; the engine's runtime/compiled/plan.hpp describes the lines and runs them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Select:
    """``value`` = ``argument[index]``, one row of an edge list."""

    value: int
    argument: int
    index: int

    def json(self) -> dict[str, Any]:
        return {"select": self.value, "argument": self.argument, "index": self.index}


@dataclass(frozen=True)
class Zeros:
    """``value`` = zeros; a size is a number, or (argument, axis)."""

    value: int
    dtype: torch.dtype
    sizes: tuple[int | tuple[int, int], ...]

    def json(self) -> dict[str, Any]:
        sizes = [
            {"argument": size[0], "axis": size[1]} if isinstance(size, tuple) else size
            for size in self.sizes
        ]
        return {"zeros": self.value, "type": str(self.dtype).removeprefix("torch."), "sizes": sizes}


@dataclass(frozen=True)
class Exchange:
    """``value`` = ``source``, a row for each node, after an exchange between ranks: of features, or
    of their gradients (``backward``)."""

    value: int
    source: int
    backward: bool

    def json(self) -> dict[str, Any]:
        return {"exchange": self.value, "of": self.source, "backward": self.backward}


@dataclass(frozen=True)
class Input:
    """An input of a part: a whole value, or a block of its rows at a time (``split``).

    ``rows_of``: the part reads only those rows of a whole value that these values name; None: it
    may read any.
    """

    value: int
    split: bool = False
    rows_of: tuple[int, ...] | None = None

    def json(self) -> dict[str, Any]:
        made: dict[str, Any] = {"value": self.value}
        if self.split:
            made["rows"] = True
        if self.rows_of is not None:
            made["read_at"] = list(self.rows_of)
        return made


@dataclass(frozen=True)
class Output:
    """An output of a part: a whole value; a block of its rows (``split``); or rows to add to those
    rows of ``value`` that the value ``added_at`` names.

    ``zero_where``: a row is zero where the same rows of all these values are zero, and those of all
    arguments in ``one_where`` are one; None: nothing is known about zeros.
    """

    value: int
    split: bool = False
    added_at: int | None = None
    zero_where: tuple[int, ...] | None = None
    one_where: tuple[int, ...] = ()

    def json(self) -> dict[str, Any]:
        made: dict[str, Any] = {"value": self.value}
        if self.split:
            made["rows"] = True
        if self.added_at is not None:
            made["add_at"] = self.added_at
        if self.zero_where is not None:
            made["zero_where"] = list(self.zero_where)
            if self.one_where:
                made["one_where"] = list(self.one_where)
        return made


@dataclass(frozen=True)
class Part:
    """Compiled code, by its name in the package. ``block``: the most rows at a time; 0: all."""

    name: str
    block: int
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    def json(self) -> dict[str, Any]:
        return {
            "part": self.name,
            "block": self.block,
            "inputs": [one.json() for one in self.inputs],
            "outputs": [one.json() for one in self.outputs],
        }


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they run, and the values that are their results."""

    steps: tuple[Select | Zeros | Exchange | Part, ...]
    results: tuple[int, ...]

    def parts(self) -> list[Part]:
        return [step for step in self.steps if isinstance(step, Part)]

    def exchanges(self) -> bool:
        """Whether ranks exchange features."""
        return any(isinstance(step, Exchange) for step in self.steps)

    def lines(self, entry: str) -> list[str]:
        """The lines of the package's description."""
        steps = [*(step.json() for step in self.steps), {"return": list(self.results)}]
        return [f"step {entry} {json.dumps(step)}" for step in steps]
