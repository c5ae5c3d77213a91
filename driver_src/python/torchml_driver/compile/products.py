"""Stores constant matrices of products in the memory layout that is fastest for BLAS."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import torch
from torch.fx import GraphModule, Node

_aten = torch.ops.aten

#: The index of the second matrix among the arguments.
_SECOND = {_aten.mm.default: 1, _aten.addmm.default: 2, _aten.matmul.default: 1}
_TURNED = {_aten.t.default, _aten.permute.default, _aten.transpose.int}


def transpose_constants(module: GraphModule) -> None:
    """Stores second matrices by column, as the forward pass of a linear layer has them.

    BLAS then reads them in the order in which it multiplies. Stored by row, as the gradient of a
    linear layer has them, narrow matrices (64 columns) make MKL slower by a fifth.
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
    """The name of a constant matrix, and whether the node uses its transpose."""
    turned = False
    while isinstance(node, Node) and node.target in _TURNED:
        source = node.args[0]
        # A matrix has two orders of its axes: transposed, or unchanged.
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
    """A node with a copy of a matrix in the other memory layout, as a new constant."""
    number = 0
    while hasattr(module, name := f"_transposed_{number}"):
        number += 1
    copy = matrix.detach().t().contiguous()
    module.register_buffer(name, copy)
    with module.graph.inserting_before(like):
        constant = module.graph.get_attr(name)
        node = module.graph.call_function(_aten.permute.default, (constant, [1, 0]))
    mode = like.meta["val"].fake_mode
    constant.meta["val"] = mode.from_tensor(copy, static_shapes=True)
    node.meta["val"] = constant.meta["val"].t()
    return node
