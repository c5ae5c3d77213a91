"""A plan: a compiled entry in parts, some of which take rows (edges, say) a block at a time.

What a block needs stays in the processor's cache, whatever the number of edges; and each core can
take blocks of its own.

Values are numbered: first the model's arguments, then what the steps make. The engine's
runtime/compiled/plan.hpp describes the same plan as text and runs it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Select:
    """``value`` = ``argument[index]``, one row of an edge list."""

    value: int
    argument: int
    index: int

    def words(self) -> str:
        return f"select {self.value} {self.argument} {self.index}"


@dataclass(frozen=True)
class Zeros:
    """``value`` = zeros; a size is a number, or (argument, axis)."""

    value: int
    dtype: torch.dtype
    sizes: tuple[int | tuple[int, int], ...]

    def words(self) -> str:
        sizes = (f"@{s[0]}.{s[1]}" if isinstance(s, tuple) else str(s) for s in self.sizes)
        return f"zeros {self.value} {str(self.dtype).removeprefix('torch.')} {' '.join(sizes)}"


@dataclass(frozen=True)
class Input:
    """Of a part; ``split``: a block of its rows at a time. ``rows_of``: of a whole one, no other
    rows are read than these values name; None: any may be."""

    value: int
    split: bool = False
    rows_of: tuple[int, ...] | None = None

    def words(self) -> str:
        if self.rows_of is not None:
            return f"{self.value}@{','.join(map(str, self.rows_of))}"
        return f"{self.value}*" if self.split else str(self.value)


@dataclass(frozen=True)
class Output:
    """Of a part: a value; or rows of one (``split``); or rows that are added to those rows of a
    value which another value, ``added_at``, names.

    ``zero_where``: a row is zero where the same rows of all these values are, and where those of
    ``one_where`` are one; None: that is not known.
    """

    value: int
    split: bool = False
    added_at: int | None = None
    zero_where: tuple[int, ...] | None = None
    one_where: tuple[int, ...] = ()

    def words(self) -> str:
        made = "*" if self.split else ""
        if self.added_at is not None:
            made = f"+{self.added_at}"
        if self.zero_where is not None:
            words = [*map(str, self.zero_where), *(f"!{value}" for value in self.one_where)]
            made += f"~{','.join(words)}"
        return f"{self.value}{made}"


@dataclass(frozen=True)
class Part:
    """Compiled code by its name in the package; ``block``: how many rows at a time, 0: all."""

    name: str
    block: int
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    def words(self) -> str:
        ins = " ".join(one.words() for one in self.inputs)
        outs = " ".join(one.words() for one in self.outputs)
        return f"part {self.name} {self.block} | {ins} | {outs}"


@dataclass(frozen=True)
class Plan:
    """Steps in order, and which values they lead to."""

    steps: tuple[Select | Zeros | Part, ...]
    results: tuple[int, ...]

    def parts(self) -> list[Part]:
        return [step for step in self.steps if isinstance(step, Part)]

    def lines(self, entry: str) -> list[str]:
        """As the package's description has it."""
        steps = [f"step {entry} {step.words()}" for step in self.steps]
        return [*steps, f"step {entry} return {' '.join(map(str, self.results))}"]
