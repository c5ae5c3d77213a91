"""Calls of torch_scatter's and torch_sparse's operators that cover all kinds of arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Case:
    """One call: ``torch.ops.<library>.<operator>(*arguments)``."""

    library: str  # "scatter" or "sparse"
    operator: str
    label: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.operator}: {self.label}"


REDUCTIONS = ("sum", "mul", "mean", "min", "max")
HALF, FLOAT, DOUBLE = torch.float16, torch.float32, torch.float64
INT = torch.int64


def _values(generator: torch.Generator, *sizes: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    """Values between 0.5 and 1.5 with random signs: no product of a dozen of them is extreme.

    In half precision they are 1 and -1, which are added exactly.
    """
    if not dtype.is_floating_point:
        return torch.randint(-9, 9, sizes, generator=generator).to(dtype)
    sign = torch.randint(0, 2, sizes, generator=generator) * 2 - 1
    if dtype == HALF:
        return sign.to(dtype)
    return (sign * (0.5 + torch.rand(sizes, generator=generator, dtype=DOUBLE))).to(dtype)


def _scatter(generator: torch.Generator) -> Iterator[tuple[str, tuple[Any, ...]]]:
    def values(*sizes: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
        return _values(generator, *sizes, dtype=dtype)

    def index(*sizes: int, high: int = 5) -> torch.Tensor:
        return torch.randint(0, high, sizes, generator=generator)

    yield "rows", (values(12, 3), index(12), 0, None, None)
    yield "vector", (values(9), index(9), 0, None, None)
    yield "more rows than the index names", (values(12, 3), index(12), 0, None, 9)
    yield "negative dimension", (values(2, 12, 3), index(12), -2, None, 6)
    yield "last dimension", (values(2, 12), index(12), -1, None, None)
    yield "index for each element", (values(2, 7, 3), index(2, 7, 3), 1, None, 5)
    yield "index to be broadcast behind", (values(2, 7, 3), index(2, 7), 1, None, 5)
    yield "index to be broadcast before", (values(2, 7, 3), index(1, 7, 1), 1, None, None)
    yield "expanded index", (values(7, 3), index(7).unsqueeze(1).expand(7, 3), 0, None, 6)
    yield "one index for all", (values(6, 2), index(1), 0, None, 5)
    yield "strided values", (values(3, 12).t(), index(12), 0, None, None)
    yield "into values that are there", (values(12, 3), index(12, high=4), 0, values(6, 3), None)
    yield "into values, dimension 1", (values(2, 7, 3), index(2, 7, 3), 1, values(2, 6, 3), None)
    yield "whole numbers", (values(12, 3, dtype=INT), index(12), 0, None, 7)
    yield "32 bit whole numbers", (values(12, dtype=torch.int32), index(12), 0, None, 7)
    yield "single precision", (values(12, 3, dtype=FLOAT), index(12), 0, None, None)
    yield "half precision", (values(12, 3, dtype=HALF), index(12), 0, None, 7)
    yield (
        "half precision, index for each element",
        (
            values(2, 7, 3, dtype=HALF),
            index(2, 7, 3),
            1,
            None,
            7,
        ),
    )
    yield "ties", (torch.ones(8, 2, dtype=DOUBLE), index(8, high=3), 0, None, 4)
    yield "nothing", (values(0, 3), index(0), 0, None, None)
    yield "nothing for some rows", (values(0, 3), index(0), 0, None, 4)
    yield "no width", (values(5, 0), index(5), 0, None, 5)


def _coordinates(generator: torch.Generator) -> Iterator[tuple[str, tuple[Any, ...]]]:
    def values(*sizes: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
        return _values(generator, *sizes, dtype=dtype)

    def index(*sizes: int, high: int = 6) -> torch.Tensor:
        return torch.randint(0, high, sizes, generator=generator).sort(-1)[0]

    yield "rows", (values(12, 3), index(12), None, None)
    yield "vector", (values(12), index(12), None, None)
    yield "more rows than the index names", (values(12, 3), index(12), None, 9)
    yield "two leading dimensions", (values(2, 12, 3), index(2, 12), None, 7)
    yield "index to be broadcast", (values(2, 12, 3), index(1, 12), None, None)
    yield "into values that are there", (values(12, 3), index(12, high=5), values(6, 3), None)
    yield "whole numbers", (values(12, 3, dtype=INT), index(12), None, 8)
    yield "nothing for some rows", (values(0, 3), index(0), None, 4)
    yield "nothing", (values(0, 3), index(0), None, None)


def _pointers(generator: torch.Generator) -> Iterator[tuple[str, tuple[Any, ...]]]:
    def values(*sizes: int, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
        return _values(generator, *sizes, dtype=dtype)

    pointers = torch.tensor([0, 3, 3, 7, 8, 12])
    both = torch.tensor([[0, 3, 3, 7, 8, 12], [0, 0, 6, 7, 12, 12]])
    yield "rows", (values(12, 3), pointers, None)
    yield "vector", (values(12), pointers, None)
    yield "two leading dimensions", (values(2, 12, 3), both, None)
    yield "pointers to be broadcast", (values(2, 12, 3), pointers.unsqueeze(0), None)
    yield "pointers to be broadcast, no width", (values(2, 12), both[:1], None)
    yield "into what is there", (values(12, 3), pointers, values(5, 3))
    yield "whole numbers", (values(12, 3, dtype=INT), pointers, None)
    yield "half precision", (values(12, 3, dtype=HALF), pointers, None)
    yield "no segment", (values(0, 3), torch.tensor([0]), None)
    yield "empty segments only", (values(0, 3), torch.tensor([0, 0, 0]), None)


def _gathers(generator: torch.Generator) -> Iterator[Case]:
    rows = _values(generator, 6, 3)
    index = torch.tensor([0, 0, 1, 3, 3, 3, 5])
    pointers = torch.tensor([0, 3, 3, 7, 8, 8, 12])
    batch = _values(generator, 2, 6, 3)
    for operator, by in (("gather_coo", index), ("gather_csr", pointers)):
        yield Case("scatter", operator, "rows", (rows, by, None))
        yield Case("scatter", operator, "vector", (rows[:, 0], by, None))
        yield Case(
            "scatter", operator, "leading dimension", (batch, by.expand(2, -1).contiguous(), None)
        )
        count = 7 if operator == "gather_coo" else 12
        out = _values(generator, count, 3)
        yield Case("scatter", operator, "into what is there", (rows, by, out))
        whole = _values(generator, 6, 3, dtype=INT)
        yield Case("scatter", operator, "whole numbers", (whole, by, None))
    nothing = torch.zeros(0, 3, dtype=DOUBLE)
    yield Case("scatter", "gather_coo", "nothing", (nothing, torch.zeros(0, dtype=INT), None))
    yield Case("scatter", "gather_csr", "nothing", (nothing, torch.zeros(1, dtype=INT), None))


def _conversions() -> Iterator[Case]:
    ind = torch.tensor([0, 0, 2, 2, 2, 5])
    ptr = torch.tensor([0, 2, 2, 5, 5, 5, 6, 6])
    empty = torch.zeros(0, dtype=INT)
    yield Case("sparse", "ind2ptr", "gaps", (ind, 7))
    yield Case("sparse", "ind2ptr", "as many as named", (ind, 6))
    yield Case("sparse", "ind2ptr", "nothing", (empty, 3))
    yield Case("sparse", "ptr2ind", "gaps", (ptr, 6))
    yield Case("sparse", "ptr2ind", "nothing", (torch.zeros(4, dtype=INT), 0))
    row = torch.tensor([0, 0, 1, 3, 3])
    col = torch.tensor([1, 3, 0, 0, 2])
    for m, n, k in ((4, 4, 0), (5, 4, 0), (4, 6, 0), (4, 4, 2), (4, 4, -2), (4, 6, 4), (6, 4, -1)):
        kept = col - row != k
        arguments = (row[kept], col[kept], m, n, k)
        yield Case("sparse", "non_diag_mask", f"{m} by {n}, diagonal {k}", arguments)


def _products(generator: torch.Generator) -> Iterator[Case]:
    row = torch.tensor([0, 0, 0, 2, 2, 3, 5, 5])
    col = torch.tensor([0, 1, 3, 1, 2, 0, 3, 3])
    rowptr = torch.tensor([0, 3, 3, 5, 6, 6, 8])
    rowcount = rowptr.diff()
    csr2csc = (col * 6 + row).argsort()
    colptr = torch.tensor([0, 2, 4, 5, 8])
    value = _values(generator, 8)
    mat = _values(generator, 4, 3)
    nothing = torch.zeros(0, dtype=INT)
    for label, weights, dense in (
        ("values", value, mat),
        ("no values", None, mat),
        ("a stack of matrices", value, _values(generator, 2, 4, 3)),
        ("single precision", value.to(FLOAT), mat.to(FLOAT)),
        ("whole numbers", None, _values(generator, 4, 3, dtype=INT)),
        ("half precision", _values(generator, 8, dtype=HALF), _values(generator, 4, 3, dtype=HALF)),
    ):
        sums = (row, rowptr, col, weights, colptr, csr2csc, dense)
        yield Case("sparse", "spmm_sum", label, sums)
        means = (row, rowptr, col, weights, rowcount, colptr, csr2csc, dense)
        yield Case("sparse", "spmm_mean", label, means)
        for operator in ("spmm_min", "spmm_max"):
            yield Case("sparse", operator, label, (rowptr, col, weights, dense))
    starts, ends = torch.zeros(4, dtype=INT), torch.zeros(5, dtype=INT)
    sums = (nothing, starts, nothing, None, ends, nothing, mat)
    yield Case("sparse", "spmm_sum", "no entries", sums)
    means = (nothing, starts, nothing, None, starts[:3], ends, nothing, mat)
    yield Case("sparse", "spmm_mean", "no entries", means)
    yield Case("sparse", "spmm_max", "no entries", (starts, nothing, None, mat))


def cases() -> Iterator[Case]:
    generator = torch.Generator().manual_seed(11)
    for reduction in REDUCTIONS:
        for label, arguments in _scatter(generator):
            yield Case("scatter", f"scatter_{reduction}", label, arguments)
        if reduction == "mul":
            continue
        for label, arguments in _coordinates(generator):
            yield Case("scatter", f"segment_{reduction}_coo", label, arguments)
        for label, arguments in _pointers(generator):
            yield Case("scatter", f"segment_{reduction}_csr", label, arguments)
    yield from _gathers(generator)
    yield from _conversions()
    yield from _products(generator)
    for library in ("scatter", "sparse"):
        yield Case(library, "cuda_version", "none", ())


def fresh(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of one call, which may write to its `out`."""
    return tuple(
        part.clone(memory_format=torch.preserve_format) if isinstance(part, torch.Tensor) else part
        for part in arguments
    )
