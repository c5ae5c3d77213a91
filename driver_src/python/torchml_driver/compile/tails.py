"""Finds out whether the last rows of a part's tensors all hold the same number, or are not read.

Particles are ordered by ring, contributing ones first. Messages of later layers reach only the
inner rings, and only the energies of contributing particles count. In most tensors, the rows of
outer rings therefore have no effect, or are zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from . import rowwise
from .rowwise import tensor

_aten = torch.ops.aten

#: Operations that give zero where either argument is zero.
_PRODUCTS = {
    _aten.mul.Tensor: (0, 1),
    _aten.mul.Scalar: (0, 1),
    _aten.div.Tensor: (0,),
    _aten.div.Scalar: (0,),
    _aten.mm.default: (0,),
    _aten.bmm.default: (0, 1),
}
#: Operations that give the same numbers in another order or shape: equal numbers stay equal.
_MOVED = {
    _aten.view.default,
    _aten.reshape.default,
    _aten._unsafe_view.default,
    _aten._reshape_copy.default,
    _aten.clone.default,
    _aten.contiguous.default,
    _aten.expand.default,
    _aten.unsqueeze.default,
    _aten.squeeze.dim,
    _aten.squeeze.dims,
    _aten.permute.default,
    _aten.transpose.int,
    _aten.select.int,
    _aten.slice.Tensor,
    _aten._to_copy.default,
}
#: Operations that turn zeros into zeros.
_LINEAR = {
    _aten.sum.dim_IntList,
    _aten.mean.dim,
    _aten.slice_backward.default,
    _aten.select_backward.default,
    _aten.cumsum.default,
}


@dataclass(frozen=True)
class Same:
    """All numbers in the rows equal this one, provided the same holds for the rows of these
    nodes."""

    number: float
    because: frozenset[Node] = frozenset()


def known(nodes: Iterable[Node], given: Mapping[Node, float], rows: Any) -> dict[Node, Same]:
    """What follows for the nodes of a graph, in order, from the known numbers of its arguments.

    rows: the symbol that counts the rows.
    """
    found: dict[Node, Same] = {}
    for node in nodes:
        if node in given:
            found[node] = Same(given[node], frozenset({node}))
            continue
        same = _follows(node, found)
        if same is not None and (rowwise.filled_with(node) is not None or _has(node, rows)):
            found[node] = same
    return found


def read_by_index(argument: Node) -> set[Node] | None:
    """The nodes with the indices of the rows read from an argument; None if any row may be read."""
    indices: set[Node] = set()
    for user in argument.users:
        if user.target is _aten.sym_size.int:
            continue
        if user.target is _aten.index_select.default and user.args[1] == 0:
            index = user.args[2]
        elif user.target is _aten.index.Tensor and len(user.args[1]) == 1:
            index = user.args[1][0]
        elif user.target is _aten.embedding.default:
            index = user.args[1]
        else:
            return None
        if user.args[0] is not argument or index is argument or index.op != "placeholder":
            return None
        indices.add(index)
    return indices


def _has(node: Node, rows: Any) -> bool:
    return rowwise.has_rows(node, rows) or not rowwise.mentions(node, rows)


def _follows(node: Node, found: Mapping[Node, Same]) -> Same | None:
    if node.op != "call_function" or tensor(node) is None:
        return None
    number = rowwise.filled_with(node)
    if number is not None:
        return Same(number)
    target, arguments = node.target, node.args
    if target in _PRODUCTS:
        factors = (_of(arguments[place], found) for place in _PRODUCTS[target])
        zeros = [same for same in factors if same is not None and same.number == 0.0]
        if zeros:
            return min(zeros, key=_n_reasons)
    if target is _aten.where.self:
        condition = _of(arguments[0], found)
        if condition is not None:
            chosen = _of(arguments[1 if condition.number else 2], found)
            if chosen is not None:
                return Same(chosen.number, chosen.because | condition.because)
    first = _of(arguments[0], found) if arguments else None
    if target in _MOVED and first is not None and first.number in (0.0, 1.0):  # in any type
        return first
    if first is not None and first.number == 0.0 and (target in _LINEAR or _is_gradient(target)):
        return first
    if target in (_aten.cat.default, _aten.stack.default):
        return _all_zero([_of(one, found) for one in arguments[0]])
    tags = getattr(target, "tags", ())
    if torch.Tag.pointwise in tags and torch.Tag.nondeterministic_seeded not in tags:
        return _calculated(node, found)
    return None


def _n_reasons(same: Same) -> int:
    return len(same.because)


def _of(argument: Any, found: Mapping[Node, Same]) -> Same | None:
    if isinstance(argument, Node):
        return found.get(argument)
    return Same(float(argument)) if isinstance(argument, (int, float)) else None


def _is_gradient(target: Any) -> bool:
    """Whether an operation is a gradient, which is linear in its first argument."""
    name = str(getattr(target, "__name__", "")).partition(".")[0]
    return name.endswith(("_backward", "_backward_data"))


def _all_zero(parts: list[Same | None]) -> Same | None:
    because: frozenset[Node] = frozenset()
    for part in parts:
        if part is None or part.number != 0.0:
            return None
        because |= part.because
    return Same(0.0, because)


def _calculated(node: Node, found: Mapping[Node, Same]) -> Same | None:
    """The result of an operation on a single number in place of each tensor."""
    tensors = [one for one in node.all_input_nodes if tensor(one) is not None]
    if len(tensors) != len(node.all_input_nodes) or not all(one in found for one in tensors):
        return None
    because: frozenset[Node] = frozenset()
    for one in tensors:
        because |= found[one].because

    def number(one: Node) -> torch.Tensor:
        value = tensor(one)
        assert value is not None
        return torch.full([1] * value.dim(), found[one].number, dtype=value.dtype)

    arguments = map_arg(node.args, number)
    options = map_arg(node.kwargs, number)
    result = float(node.target(*arguments, **options))
    return Same(result, because) if result == result else None
