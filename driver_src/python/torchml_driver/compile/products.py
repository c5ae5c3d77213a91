"""Products with constant matrices, in the order in memory that BLAS is quickest with."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch.fx import GraphModule, Node

_aten = torch.ops.aten

#: Which argument is the second matrix.
_SECOND = {_aten.mm.default: 1, _aten.addmm.default: 2}
_TURNED = {_aten.t.default, _aten.permute.default, _aten.transpose.int}


def transpose_constants(module: GraphModule) -> None:
    """Keeps second matrices column by column, as those of linear layers are in the forward pass.

    BLAS then takes them from memory as it multiplies them, K after K; row by row, as the gradient
    of a linear layer has the same matrix, MKL is a fifth slower on narrow ones (64 columns).
    """
    made: dict[tuple[str, bool], Node] = {}
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in _SECOND:
            continue
        second = node.args[_SECOND[node.target]]
        found = _constant(second)
        if found is None:
            continue
        name, turned = found
        value = attrgetter(name)(module)
        matrix = value.t() if turned else value
        if matrix.stride(0) == 1:
            continue
        key = (name, turned)
        if key not in made:
            made[key] = _turned_copy(module, second, matrix)
        node.replace_input_with(second, made[key])
    module.graph.eliminate_dead_code()


def _constant(node: Any) -> tuple[str, bool] | None:
    """The name of a constant matrix, and whether it is taken with its axes exchanged."""
    turned = False
    while isinstance(node, Node) and node.target in _TURNED:
        source = node.args[0]
        # Of a matrix, nothing but exchanging its axes makes sense; the other order is itself.
        if node.target is _aten.permute.default and list(node.args[1]) in ([0, 1], [-2, -1]):
            node = source
            continue
        turned = not turned
        node = source
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    value = node.meta.get("val")
    known = isinstance(value, torch.Tensor) and value.dim() == 2
    return (str(node.target), turned) if known else None


def _turned_copy(module: GraphModule, like: Node, matrix: torch.Tensor) -> Node:
    """A node with the numbers of a matrix, from a constant of its own."""
    number = 0
    while hasattr(module, name := f"_transposed_{number}"):
        number += 1
    copy = matrix.detach().t().contiguous()
    module.register_buffer(name, copy)
    with module.graph.inserting_before(like):
        constant = module.graph.get_attr(name)
        node = module.graph.call_function(_aten.permute.default, (constant, [1, 0]))
    mode = like.meta["val"].fake_mode
    constant.meta["val"] = mode.from_tensor(copy)
    node.meta["val"] = constant.meta["val"].t()
    return node
