"""Operators of torch_scatter and torch_sparse, as operations of torch itself.

TorchScript that calls them cannot be loaded without their declarations. Compiled code contains what
they do here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_COORDINATES = "(Tensor src, Tensor index, int dim, Tensor(a!)? out, int? dim_size)"
_SORTED = "(Tensor src, Tensor index, Tensor(a!)? out, int? dim_size)"
_POINTERS = "(Tensor src, Tensor indptr, Tensor(a!)? out)"
_ONE, _TWO = "Tensor(a!)", "(Tensor(a!), Tensor)"
_SPARSE = "(Tensor? row, Tensor rowptr, Tensor col, Tensor? value, "
#: As in driver_src/src/torch_ops.
_SCHEMAS = {
    "torch_scatter": [
        *(f"scatter_{name}{_COORDINATES} -> {_ONE}" for name in ("sum", "mul", "mean")),
        *(f"scatter_{name}{_COORDINATES} -> {_TWO}" for name in ("min", "max")),
        *(f"segment_{name}_coo{_SORTED} -> {_ONE}" for name in ("sum", "mean")),
        *(f"segment_{name}_coo{_SORTED} -> {_TWO}" for name in ("min", "max")),
        *(f"segment_{name}_csr{_POINTERS} -> {_ONE}" for name in ("sum", "mean")),
        *(f"segment_{name}_csr{_POINTERS} -> {_TWO}" for name in ("min", "max")),
        "gather_coo(Tensor src, Tensor index, Tensor(a!)? out) -> Tensor(a!)",
        "gather_csr(Tensor src, Tensor indptr, Tensor(a!)? out) -> Tensor(a!)",
        "cuda_version() -> int",
    ],
    "torch_sparse": [
        "ind2ptr(Tensor ind, int M) -> Tensor",
        "ptr2ind(Tensor ptr, int E) -> Tensor",
        f"spmm_sum{_SPARSE}Tensor? colptr, Tensor? csr2csc, Tensor mat) -> Tensor",
        f"spmm_mean{_SPARSE}Tensor? rowcount, Tensor? colptr, Tensor? csr2csc, Tensor mat)"
        " -> Tensor",
        "spmm_min(Tensor rowptr, Tensor col, Tensor? value, Tensor mat) -> (Tensor, Tensor)",
        "spmm_max(Tensor rowptr, Tensor col, Tensor? value, Tensor mat) -> (Tensor, Tensor)",
        "non_diag_mask(Tensor row, Tensor col, int M, int N, int k) -> Tensor",
        "cuda_version() -> int",
    ],
}


@contextmanager
def declared() -> Iterator[None]:
    """A context in which the operators exist, although they do nothing, unless the originals do.

    Afterwards the names are free again, for a program that loads the originals.
    """
    present = {name.partition("::")[0] for name in torch._C._dispatch_get_all_op_names()}
    libraries = []
    try:
        for namespace, schemas in _SCHEMAS.items():
            if namespace not in present:
                library = torch.library.Library(namespace, "DEF")
                libraries.append(library)
                for schema in schemas:
                    library.define(schema)
        yield
    finally:
        for library in libraries:
            library._destroy()


def is_known(kind: str) -> bool:
    """Whether NAMESPACE::NAME is one of these libraries' operators."""
    return kind.partition("::")[0] in _SCHEMAS


def replaced(kind: str) -> Callable[..., Any] | None:
    """What the operator NAMESPACE::NAME does; None for others, and for those on sparse matrices."""
    return _OPERATIONS.get(kind)


def _spread(index: torch.Tensor, source: torch.Tensor, axis: int) -> torch.Tensor:
    """An index with the shape of what it distributes."""
    if index.dim() == 1:
        for _ in range(axis):
            index = index.unsqueeze(0)
    while index.dim() < source.dim():
        index = index.unsqueeze(-1)
    return index.expand_as(source)


def _target(
    source: torch.Tensor, index: torch.Tensor, axis: int, out: Any, size: Any, number: float = 0.0
) -> torch.Tensor:
    if out is not None:
        kept: torch.Tensor = out
        return kept
    sizes = list(source.shape)
    sizes[axis] = size if size is not None else index.max().item() + 1
    return source.new_full(sizes, number)


def _sum(source: torch.Tensor, index: torch.Tensor, axis: int, out: Any, size: Any) -> torch.Tensor:
    axis %= source.dim()
    target = _target(source, index, axis, out, size)
    return target.scatter_add(axis, _spread(index, source, axis), source)


def _reduced(how: str, number: float = 0.0) -> Callable[..., torch.Tensor]:
    def reduce(
        source: torch.Tensor, index: torch.Tensor, axis: int, out: Any, size: Any
    ) -> torch.Tensor:
        axis %= source.dim()
        target = _target(source, index, axis, out, size, number)
        spread = _spread(index, source, axis)
        return target.scatter_reduce(axis, spread, source, how, include_self=out is not None)

    return reduce


def _mean(
    source: torch.Tensor, index: torch.Tensor, axis: int, out: Any, size: Any
) -> torch.Tensor:
    axis %= source.dim()
    total = _sum(source, index, axis, out, size)
    spread = _spread(index, source, axis)
    counts = torch.zeros_like(total).scatter_add(axis, spread, torch.ones_like(source))
    return total / counts.clamp(min=1)


def _extreme(how: str) -> Callable[..., tuple[torch.Tensor, None]]:
    reduce = _reduced(how)

    def values(*arguments: Any) -> tuple[torch.Tensor, None]:
        return reduce(*arguments), None  # where they come from is rarely needed

    return values


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "torch_scatter::scatter_sum": _sum,
    "torch_scatter::scatter_mean": _mean,
    "torch_scatter::scatter_mul": _reduced("prod", 1.0),
    "torch_scatter::scatter_min": _extreme("amin"),
    "torch_scatter::scatter_max": _extreme("amax"),
    "torch_scatter::gather_coo": lambda source, index, out: source.index_select(0, index),
    "torch_scatter::cuda_version": lambda: -1,
    "torch_sparse::cuda_version": lambda: -1,
}
