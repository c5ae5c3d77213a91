"""Identifies operations that treat rows (such as edges) one by one, so that blocks of rows can be
computed separately.

A row is an index on axis 0 of tensors whose first size is a given symbol.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import Node

_aten = torch.ops.aten

#: Operations by row of their first matrix; the others are the same for all rows.
_PRODUCTS = {
    _aten.mm.default: 0,
    _aten.addmm.default: 1,
    _aten.linear.default: 0,
    _aten.matmul.default: 0,
}
#: Operations by row of all tensors that have rows: axis 0 counts matrices.
_BATCHED = {_aten.bmm.default, _aten.baddbmm.default, _aten.matmul.default}
#: Operations that take rows of a table by an index with rows: the arguments with table and index.
_TABLES = {_aten.embedding.default: (0, 1), _aten.index_select.default: (0, 2)}
#: Reductions over the axes that the second argument names.
_REDUCTIONS = {
    _aten.sum.dim_IntList,
    _aten.mean.dim,
    _aten.amax.default,
    _aten.amin.default,
    _aten.prod.dim_int,
    _aten.any.dim,
    _aten.all.dim,
    _aten._softmax.default,
    _aten._log_softmax.default,
    _aten.softmax.int,
    _aten.cumsum.default,
    _aten.cumprod.default,
    _aten.flip.default,
    _aten.squeeze.dim,
    _aten.squeeze.dims,
    _aten.select.int,
    _aten.slice.Tensor,
    _aten.unbind.int,
}
#: The same, but the norm's order comes before the axes.
_NORMS = {_aten.linalg_vector_norm.default, _aten.norm.ScalarOpt_dim}
#: Gradients of such operations, along the axis that the third argument names.
_BACKWARD = {
    _aten.slice_backward.default,
    _aten.select_backward.default,
    _aten._softmax_backward_data.default,
    _aten._log_softmax_backward_data.default,
}
#: Operations that keep the order of numbers, and of rows if the size of axis 0 remains.
_RESHAPES = {
    _aten.view.default,
    _aten.reshape.default,
    _aten._unsafe_view.default,
    _aten._reshape_copy.default,
    _aten.clone.default,
    _aten._to_copy.default,
    _aten.contiguous.default,
}
#: Operations along the axis that the second argument names, on tensors that all have rows, ...
_ALONG = {_aten.gather.default, _aten.scatter_add.default}
#: ... or whose indices, the third argument, are the same for all rows.
_NAMED = {_aten.index_select.default, _aten.index_add.default}
#: Pointwise operations that torch does not call so.
_POINTWISE = {
    _aten.softplus_backward.default,
    _aten.elu_backward.default,
    _aten.leaky_relu_backward.default,
    _aten.hardtanh_backward.default,
    _aten.hardswish_backward.default,
    _aten.hardsigmoid_backward.default,
    _aten.mish_backward.default,
    _aten.gelu_backward.default,
    _aten.silu_backward.default,
    _aten.sigmoid_backward.default,
    _aten.tanh_backward.default,
    _aten.threshold_backward.default,
}
#: Operations whose numbers are sizes.
SIZED = {*_RESHAPES, *_BACKWARD, _aten.expand.default}
#: Operations whose values depend on no tensor.
_FILLED = {
    _aten.new_zeros.default: 0.0,
    _aten.zeros_like.default: 0.0,
    _aten.zeros.default: 0.0,
    _aten.ones_like.default: 1.0,
    _aten.new_ones.default: 1.0,
    _aten.ones.default: 1.0,
}
_LAST = 2**63 - 1
#: Operations whose results are worth keeping rather than computing again.
_HEAVY = {*_PRODUCTS, *_BATCHED}


def tensor(node: Any) -> torch.Tensor | None:
    """The (fake) tensor of a node, if it has one."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return value if isinstance(value, torch.Tensor) else None


def has_rows(node: Any, symbol: Any) -> bool:
    """Whether axis 0, and no other axis, counts these rows."""
    value = tensor(node)
    if value is None or value.dim() == 0:
        return False
    return _is(value.size(0), symbol) and not any(_mentions(s, symbol) for s in value.shape[1:])


def n_axes(node: Any) -> int:
    """How many axes a tensor has; 0 for anything else."""
    value = tensor(node)
    return 0 if value is None else value.dim()


def bytes_of_row(node: Any) -> int:
    """Of a tensor's row, as far as its sizes are numbers."""
    value = tensor(node)
    assert value is not None
    sizes = (size for size in value.shape[1:] if isinstance(size, int))
    return math.prod(sizes, start=value.element_size())


def mentions(node: Any, symbol: Any) -> bool:
    value = tensor(node)
    return value is not None and any(_mentions(size, symbol) for size in value.shape)


def is_same(node: Node) -> bool:
    """Whether an operation returns its first argument unchanged."""
    if node.target in (_aten.detach.default, _aten.alias.default, _aten.lift_fresh_copy.default):
        return True
    if node.target is _aten.slice.Tensor:
        bounds = [*node.args[2:], None, None, None]
    elif node.target is _aten.slice_backward.default:
        bounds = list(node.args[3:])
    else:
        return False
    begin, end, step = bounds[:3]
    return begin in (0, None) and end in (_LAST, None) and step in (1, None)


def filled_with(node: Node) -> float | None:
    """The number that fills a tensor made from sizes alone."""
    if node.target in (_aten.full.default, _aten.full_like.default, _aten.new_full.default):
        number = node.args[-1] if len(node.args) > 1 else node.kwargs.get("fill_value")
        return float(number) if isinstance(number, (int, float)) else None
    if node.target is _aten.scalar_tensor.default:
        return float(node.args[0]) if isinstance(node.args[0], (int, float)) else None
    return _FILLED.get(node.target) if node.op == "call_function" else None


def is_heavy(node: Node) -> bool:
    return node.target in _HEAVY


def is_pointwise(target: Any) -> bool:
    return target in _POINTWISE or torch.Tag.pointwise in getattr(target, "tags", ())


def is_row_wise(node: Node, symbol: Any) -> bool:
    """Whether each row of the result depends only on the same row of the inputs with rows, and on
    inputs without rows."""
    if node.op != "call_function" or not has_rows(node, symbol):
        return False
    tensors = [one for one in node.all_input_nodes if tensor(one) is not None]
    with_rows = [one for one in tensors if mentions(one, symbol)]
    if not all(has_rows(one, symbol) for one in with_rows):
        return False
    target, arguments = node.target, node.args
    # The number of rows may become that of a block if it is a size, not if it enters as a value.
    if target not in SIZED and any(_is_number_of(one, symbol) for one in node.all_input_nodes):
        return False
    if target in _PRODUCTS and with_rows == [arguments[_PRODUCTS[target]]]:
        plain = n_axes(arguments[1]) <= 2 <= n_axes(with_rows[0])
        return plain or target is not _aten.matmul.default
    if target in _BATCHED:
        axes = {n_axes(one) for one in tensors}
        return all(one in with_rows for one in tensors) and axes in ({3}, {4})
    if target in _ALONG and arguments[1] % node.meta["val"].dim() != 0:
        return all(one in with_rows for one in tensors)
    if target in _NAMED and arguments[1] % node.meta["val"].dim() != 0:
        return arguments[2] not in with_rows and all(
            n_axes(one) == n_axes(node) for one in with_rows
        )
    if target in (_aten.slice_scatter.default, _aten.select_scatter.default):
        axis = arguments[2] if len(arguments) > 2 else 0
        return bool(axis % node.meta["val"].dim() != 0 and len(with_rows) == 2)
    if target in _TABLES:
        table, index = _TABLES[target]
        along = target is not _aten.index_select.default or arguments[1] == 0
        return bool(
            along and with_rows == [arguments[index]] and arguments[table] != arguments[index]
        )
    if target is _aten.index.Tensor:
        indices = arguments[1]
        named = tensor(indices[0]) if len(indices) == 1 else None
        return (
            named is not None
            and named.dtype in (torch.int64, torch.int32)
            and with_rows == [indices[0]]
        )
    if target in _REDUCTIONS:
        return _spares_rows(node, arguments[1] if len(arguments) > 1 else 0)
    if target in _BACKWARD:
        dimensions = node.meta["val"].dim()
        return isinstance(arguments[2], int) and arguments[2] % dimensions != 0
    if target in _NORMS:
        return _spares_rows(node, arguments[2] if len(arguments) > 2 else None)
    if target in _RESHAPES:
        return True
    if target is _aten.unsqueeze.default:
        return bool(arguments[1] % node.meta["val"].dim() != 0)
    if target is _aten.permute.default:
        return bool(arguments[1][0] in (0, -len(arguments[1])))
    if target is _aten.transpose.int:
        return _spares_rows(node, list(arguments[1:3]))
    if target in (_aten.cat.default, _aten.stack.default):
        axis = arguments[1] if len(arguments) > 1 else 0
        return len(with_rows) == len(arguments[0]) and _spares_rows(node, axis)
    if target is _aten.expand.default or is_pointwise(target):
        # Broadcasting matches sizes from the last axis: rows match if the number of axes does.
        return all(tensor(one).dim() == tensor(node).dim() for one in with_rows)  # type: ignore[union-attr]
    return False


def _is_number_of(node: Node, symbol: Any) -> bool:
    return _mentions(node.meta.get("val"), symbol)


def _spares_rows(node: Node, axes: Any) -> bool:
    """Whether an operation along these axes of its input leaves axis 0 unchanged."""
    if axes is None:
        return False
    source = node.args[0]
    first = source[0] if isinstance(source, (list, tuple)) else source
    value = tensor(first)
    if value is None:
        return False
    dimensions = value.dim() + (node.target is _aten.stack.default)
    listed = axes if isinstance(axes, (list, tuple)) else [axes]
    return bool(listed) and all(isinstance(a, int) and a % dimensions != 0 for a in listed)


def _is(size: Any, symbol: Any) -> bool:
    return isinstance(size, torch.SymInt) and size.node.expr == symbol


def _mentions(size: Any, symbol: Any) -> bool:
    return isinstance(size, torch.SymInt) and symbol in size.node.expr.free_symbols
