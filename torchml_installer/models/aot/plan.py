"""A plan: a compiled entry in parts, some of which take rows (edges, say) a block at a time.

What a block needs stays in the processor's cache, whatever the number of edges; and each core can
take blocks of its own.

Values are numbered: first the model's arguments, then what the steps make. driver_src's
runtime/plan.hpp describes the same plan as text and runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
    """Of a part; ``split``: a block of its rows at a time."""

    value: int
    split: bool = False

    def words(self) -> str:
        return f"{self.value}*" if self.split else str(self.value)


@dataclass(frozen=True)
class Output:
    """Of a part: a value; or rows of one (``split``); or rows that are added to those rows of a
    value which another value, ``added_at``, names."""

    value: int
    split: bool = False
    added_at: int | None = None

    def words(self) -> str:
        if self.added_at is not None:
            return f"{self.value}+{self.added_at}"
        return f"{self.value}*" if self.split else str(self.value)


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
        """All values, by their numbers."""
        values = dict(enumerate(arguments))
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
                _run_blocks(step, runs[step.name], values, block or step.block)
        return values


def _run_blocks(part: Part, run: Run, values: dict[int, torch.Tensor], block: int) -> None:
    rows = next(values[one.value].size(0) for one in part.inputs if one.split)
    kept: dict[int, list[torch.Tensor]] = {one.value: [] for one in part.outputs if one.split}
    for begin in range(0, max(rows, 1), block):

        def rows_of(tensor: torch.Tensor, begin: int = begin) -> torch.Tensor:
            return tensor[begin : begin + block].contiguous()

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
    values.update({value: torch.cat(tensors) for value, tensors in kept.items()})
