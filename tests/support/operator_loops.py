"""What torch_scatter's and torch_sparse's operators compute, as plain loops over numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def scatter(reduction: str) -> Callable[..., Any]:
    def operator(
        src: Array, index: Array, dim: int, out: Array | None, dim_size: int | None
    ) -> Any:
        axis = dim % src.ndim
        length = index.shape[min(axis, index.ndim - 1)]
        shape = index.shape
        if index.ndim == 1:
            shape = (1,) * axis + shape
        index = index.reshape(shape + (1,) * (src.ndim - len(shape)))
        index = np.broadcast_to(index, src.shape)
        rows = (int(index.max()) + 1 if index.size else 0) if dim_size is None else dim_size
        # The original counts the index's own entries, not those after broadcasting.
        by = "sum" if reduction == "mean" and length == 1 else reduction
        return _reduce(by, src, index, axis, rows, out, whole="floor")

    return operator


def segment_coo(reduction: str) -> Callable[..., Any]:
    def operator(src: Array, index: Array, out: Array | None, dim_size: int | None) -> Any:
        axis = index.ndim - 1
        index = np.broadcast_to(index, src.shape[: axis + 1])
        rows = (int(index.max()) + 1 if index.size else 0) if dim_size is None else dim_size
        index = np.broadcast_to(_behind(index, src), src.shape)
        return _reduce(reduction, src, index, axis, rows, out, whole="trunc")

    return operator


def segment_csr(reduction: str) -> Callable[..., Any]:
    def operator(src: Array, indptr: Array, out: Array | None) -> Any:
        axis = indptr.ndim - 1
        index = np.broadcast_to(_behind(_unfolded(indptr, src.shape, axis), src), src.shape)
        # Whatever is in `out` is overwritten.
        return _reduce(reduction, src, index, axis, indptr.shape[-1] - 1, None, whole="trunc")

    return operator


def gather_coo(src: Array, index: Array, out: Array | None) -> Array:
    axis = index.ndim - 1
    shape = (*src.shape[:axis], index.shape[-1], *src.shape[axis + 1 :])
    return np.take_along_axis(src, np.broadcast_to(_behind(index, src), shape), axis)


def gather_csr(src: Array, indptr: Array, out: Array | None) -> Array:
    axis = indptr.ndim - 1
    count = int(indptr.flat[-1])
    return gather_coo(src, _unfolded(indptr, (*src.shape[:axis], count), axis), out)


def ind2ptr(ind: Array, m: int) -> Array:
    return np.array([sum(1 for i in ind if i < row) for row in range(m + 1)])


def ptr2ind(ptr: Array, e: int) -> Array:
    return _unfolded(ptr, (e,), 0)


def non_diag_mask(row: Array, col: Array, m: int, n: int, k: int) -> Array:
    diagonal = {(i, i + k) for i in range(m) if 0 <= i + k < n}
    entries = sorted(diagonal | set(zip(row.tolist(), col.tolist(), strict=True)))
    return np.array([entry not in diagonal for entry in entries])


def spmm(reduction: str) -> Callable[..., Any]:
    def operator(*arguments: Any) -> Any:
        if reduction in ("sum", "mean"):
            _, rowptr, col, value, *_, mat = arguments
        else:
            rowptr, col, value, mat = arguments
        terms = mat[..., col, :]
        if value is not None:
            terms = terms * value[:, None]
        index = np.broadcast_to(_unfolded(rowptr, col.shape, 0)[:, None], terms.shape)
        axis = mat.ndim - 2
        return _reduce(reduction, terms, index, axis, len(rowptr) - 1, None, whole="trunc")

    return operator


LOOPS: dict[str, Callable[..., Any]] = {
    **{f"scatter_{name}": scatter(name) for name in ("sum", "mul", "mean", "min", "max")},
    **{f"segment_{name}_coo": segment_coo(name) for name in ("sum", "mean", "min", "max")},
    **{f"segment_{name}_csr": segment_csr(name) for name in ("sum", "mean", "min", "max")},
    **{f"spmm_{name}": spmm(name) for name in ("sum", "mean", "min", "max")},
    "gather_coo": gather_coo,
    "gather_csr": gather_csr,
    "ind2ptr": ind2ptr,
    "ptr2ind": ptr2ind,
    "non_diag_mask": non_diag_mask,
    "cuda_version": lambda: -1,
}


def _behind(index: Array, src: Array) -> Array:
    return index.reshape(index.shape + (1,) * (src.ndim - index.ndim))


def _unfolded(pointers: Array, shape: tuple[int, ...], axis: int) -> Array:
    """The segment of each position along the last of the leading dimensions."""
    index = np.zeros(shape[: axis + 1], dtype=np.int64)
    pointers = np.broadcast_to(pointers, (*shape[:axis], pointers.shape[-1]))
    for lead in np.ndindex(*shape[:axis]):
        for segment in range(pointers.shape[-1] - 1):
            index[lead][pointers[lead][segment] : pointers[lead][segment + 1]] = segment
    return index


def _reduce(
    reduction: str, src: Array, index: Array, axis: int, rows: int, out: Array | None, whole: str
) -> Any:
    shape = list(src.shape)
    shape[axis] = rows if out is None else out.shape[axis]
    groups: dict[tuple[int, ...], list[tuple[Any, int]]] = {}
    for place in np.ndindex(*src.shape):
        target = list(place)
        target[axis] = index[place]
        groups.setdefault(tuple(target), []).append((src[place], place[axis]))
    result = np.zeros(shape, dtype=src.dtype)
    argument = np.full(shape, src.shape[axis])
    for target in np.ndindex(*shape):
        terms = groups.get(target, [])
        start = [] if out is None else [(out[target], src.shape[axis])]
        if reduction == "sum":
            result[target] = sum(value for value, _ in start + terms)
        elif reduction == "mul":
            result[target] = math.prod(value for value, _ in start + terms) if src.size else 0
        elif reduction == "mean":
            total = sum(value for value, _ in start + terms)
            result[target] = _quotient(total, max(len(terms), 1), src.dtype, whole)
        elif start + terms:
            best = min if reduction == "min" else max
            result[target], argument[target] = best(start + terms, key=lambda term: term[0])
    return (result, argument) if reduction in ("min", "max") else result


def _quotient(total: Any, count: int, dtype: np.dtype[Any], whole: str) -> Any:
    if np.issubdtype(dtype, np.floating):
        return total / count
    return total // count if whole == "floor" else math.trunc(total / count)
