"""A plan: a compiled entry in parts, some of which take rows (edges, say) a block at a time.

What a block needs stays in the processor's cache, whatever the number of edges; and each core can
take blocks of its own.

Values are numbered: first the model's arguments, then what the steps make. driver_src's
runtime/compiled/plan.hpp describes the same plan as text and runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan

import torch

#: Runs a part: the inputs it wants to the outputs it promises.
Run = Callable[..., Sequence[torch.Tensor]]


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

    def run(
        self, runs: Mapping[str, Run], arguments: Sequence[torch.Tensor], block: int | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Results, and nothing clever about it; ``block`` in place of what the parts want."""
        values = self.values(runs, arguments, block)
        return tuple(values[value] for value in self.results)

    def values(
        self, runs: Mapping[str, Run], arguments: Sequence[torch.Tensor], block: int | None = None
    ) -> dict[int, torch.Tensor]:
        """All values, by their numbers; rows that nothing reads are not numbers."""
        values = dict(enumerate(arguments))
        rows = _Rows(self, arguments)
        for step in self.steps:
            if isinstance(step, Select):
                values[step.value] = values[step.argument][step.index]
            elif isinstance(step, Zeros):
                sizes = [
                    arguments[s[0]].size(s[1]) if isinstance(s, tuple) else s for s in step.sizes
                ]
                device = arguments[0].device
                values[step.value] = torch.zeros(sizes, dtype=step.dtype, device=device)
            elif step.block == 0:
                found = runs[step.name](*(values[one.value] for one in step.inputs))
                for output, tensor in zip(step.outputs, found, strict=True):
                    values[output.value] = tensor
            else:
                _run_blocks(step, runs[step.name], values, block or step.block, rows)
        return values


class _Rows:
    """How many of a value's rows, from the first one, are worth computing."""

    def __init__(self, plan: Plan, arguments: Sequence[torch.Tensor]) -> None:
        #: After so many rows, all are zero; without entry: that is not known.
        self.not_zero: dict[int, float] = {}
        #: So many rows are read.
        self.read: dict[int, float] = dict.fromkeys(plan.results, inf)
        self._indices: dict[int, torch.Tensor] = {}
        self._arguments = arguments
        for step in plan.steps:
            if isinstance(step, Select):
                self._indices[step.value] = arguments[step.argument][step.index]
            elif isinstance(step, Zeros):
                self.not_zero[step.value] = 0
            else:
                self._find_zeros(step)
        for step in reversed(plan.steps):
            if isinstance(step, Part):
                self._find_read(step)

    def computed(self, part: Part) -> float:
        return max(self._needed(output) for output in part.outputs)

    def _find_zeros(self, part: Part) -> None:
        for output in part.outputs:
            if output.added_at is not None:
                end = self._end(output.added_at)
                self.not_zero[output.value] = max(self.not_zero[output.value], end)
            else:
                self.not_zero[output.value] = self._not_zero(output)

    def _not_zero(self, output: Output) -> float:
        if output.zero_where is None:
            return inf
        ends = [self.not_zero.get(value, inf) for value in output.zero_where]
        ends += [_last_but(self._arguments[value], 1) for value in output.one_where]
        return max(ends, default=0)

    def _needed(self, output: Output) -> float:
        found = self._not_zero(output)
        if output.added_at is not None:
            return found
        return min(found, self.read.get(output.value, 0))

    def _find_read(self, part: Part) -> None:
        computed = self.computed(part) if part.block else inf
        reads = [
            (output.added_at, computed) for output in part.outputs if output.added_at is not None
        ]
        for one in part.inputs:
            if one.split:
                reads.append((one.value, computed))
            elif one.rows_of is None:
                reads.append((one.value, inf))
            else:
                reads.append((one.value, max(map(self._end, one.rows_of), default=0)))
        for value, rows in reads:
            self.read[value] = max(self.read.get(value, 0), rows)

    def _end(self, index: int) -> float:
        """One more than the largest row that a value names, if it is known beforehand."""
        found = self._indices.get(index)
        if found is None:
            return inf
        return int(found.max()) + 1 if found.numel() else 0


def _last_but(tensor: torch.Tensor, number: int) -> int:
    """Up to where a vector has other numbers."""
    others = (tensor != number).nonzero()
    return int(others[-1]) + 1 if len(others) else 0


def _run_blocks(
    part: Part, run: Run, values: dict[int, torch.Tensor], block: int, rows: _Rows
) -> None:
    n = next(values[one.value].size(0) for one in part.inputs if one.split)
    computed = int(min(n, rows.computed(part)))
    kept: dict[int, list[torch.Tensor]] = {one.value: [] for one in part.outputs if one.split}
    for begin in range(0, max(computed, 1), block):
        end = min(begin + block, computed)

        def rows_of(tensor: torch.Tensor, begin: int = begin, end: int = end) -> torch.Tensor:
            return tensor[begin:end].contiguous()

        inputs = (
            rows_of(values[one.value]) if one.split else values[one.value] for one in part.inputs
        )
        for output, tensor in zip(part.outputs, run(*inputs), strict=True):
            if output.added_at is None:
                kept[output.value].append(tensor)
            else:
                at = output.added_at
                index = kept[at][-1] if at in kept else rows_of(values[at])
                values[output.value].index_add_(0, index, tensor)
    for value, tensors in kept.items():
        made = torch.cat(tensors)
        rest = made.new_zeros(n - computed, *made.shape[1:])
        if made.is_floating_point():
            rest[max(0, int(min(n, rows.read.get(value, 0))) - computed) :] = nan
        values[value] = torch.cat([made, rest])
