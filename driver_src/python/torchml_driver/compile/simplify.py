"""Rewrites a model's graph into fewer operations, more of which work row by row.

What autograd, decompositions and libraries' generated code leave behind hides that: copies into
empty tensors, views that change nothing, weights that are cut out of one vector, and products of
matrices for which rows (k for each edge, say) are put into one axis with what they consist of. The
rewritten graph computes the same numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from . import rowwise
from .rowwise import tensor

_aten = torch.ops.aten

#: Numbers in a constant that is computed once: at most so many, or as many as it is computed from.
_FEW = 1 << 16
_VIEWS = {_aten.view.default, _aten._unsafe_view.default, _aten.reshape.default}
#: Operations that may leave a tensor's shape, and then its numbers, unchanged.
_RESHAPED = {*_VIEWS, _aten.expand.default, _aten.squeeze.dim, _aten.squeeze.dims}
#: The axis that such an operation works along: its place among the arguments.
_ALONG = {
    _aten.select.int: 1,
    _aten.slice.Tensor: 1,
    _aten.unsqueeze.default: 1,
    _aten.index_select.default: 1,
}


def simplify(module: GraphModule) -> None:
    """Rewrites a graph of plain operations in place. Its nodes have their fake tensors."""
    _compute_constants(module)
    _Rewriter(module).run()
    module.graph.eliminate_dead_code()


def index_along_rows(index: Any) -> Node | None:
    """The vector that an index for gather or scatter_add repeats along the other axes, if it
    does."""
    node = index
    while isinstance(node, Node) and node.op == "call_function":
        value = tensor(node)
        if value is not None and value.dim() == 1:
            return node
        if node.target in (_aten.expand.default, _aten.clone.default):
            node = node.args[0]
        elif node.target in (_aten.unsqueeze.default, _aten.view.default):
            inner, outer = tensor(node.args[0]), value
            if inner is None or outer is None or any(size != 1 for size in outer.shape[1:]):
                return None
            node = node.args[0]
        else:
            return None
    return node if tensor(node) is not None and tensor(node).dim() == 1 else None  # type: ignore[union-attr]


def _compute_constants(module: GraphModule) -> None:
    """Computes what depends on weights alone once, now, and not at each step."""
    graph = module.graph
    known: dict[Node, torch.Tensor] = {}
    for node in graph.nodes:
        value = tensor(node)
        if value is None:
            continue
        if node.op == "get_attr":
            known[node] = attrgetter(str(node.target))(module)
        elif _is_constant(node, value, known):
            arguments, options = (
                map_arg(one, known.__getitem__) for one in (node.args, node.kwargs)
            )
            known[node] = node.target(*arguments, **options)
    for node, made in list(known.items()):
        if node.op == "get_attr" or all(user in known for user in node.users):
            continue
        number = 0
        while hasattr(module, name := f"_constant_{number}"):
            number += 1
        module.register_buffer(name, made.detach().clone(memory_format=torch.contiguous_format))
        with graph.inserting_before(node):
            constant = graph.get_attr(name)
        mode = node.meta["val"].fake_mode
        constant.meta["val"] = mode.from_tensor(attrgetter(name)(module), static_shapes=True)
        node.replace_all_uses_with(constant)
    graph.eliminate_dead_code()


def _is_constant(node: Node, value: torch.Tensor, known: Mapping[Node, torch.Tensor]) -> bool:
    inputs = node.all_input_nodes
    if node.op != "call_function" or not inputs or not all(one in known for one in inputs):
        return False
    if not all(isinstance(size, int) for size in value.shape):
        return False
    return bool(value.numel() <= max(_FEW, *(known[one].numel() for one in inputs)))


class _Rewriter:
    def __init__(self, module: GraphModule) -> None:
        self.graph = module.graph
        #: Of tensors with k rows for each row: the same numbers with an axis for these k.
        self.apart: dict[Node, Node] = {}
        self.rules: dict[Any, Callable[[Node], Node | None]] = {
            _aten.scatter_reduce.two: self._scatter_reduce,
            _aten.gather.default: self._gather,
            _aten.select.int: self._select,
            _aten.sum.dim_IntList: self._sum,
            _aten.index.Tensor: self._index,
            _aten.index_put.default: self._index_put,
        }

    def run(self) -> None:
        for node in list(self.graph.nodes):
            if node.op != "call_function" or tensor(node) is None:
                continue
            other = unchanged(node)
            if other is None:
                with self.graph.inserting_before(node):
                    rule = self.rules.get(node.target)
                    other = None if rule is None else rule(node)
                    other = other or self._with_rows_apart(node)
            if other is not None:
                node.replace_all_uses_with(other)

    def _new(self, target: Any, *arguments: Any, **options: Any) -> Node:
        """A node before the one that is rewritten. Raises whatever its operation does."""
        node = self.graph.call_function(target, arguments, options)
        try:
            given, more = (map_arg(one, lambda n: n.meta["val"]) for one in (arguments, options))
            with next(
                one for one in map(tensor, node.all_input_nodes) if one is not None
            ).fake_mode:
                node.meta["val"] = target(*given, **more)
        except Exception:
            self.graph.erase_node(node)
            raise
        return node

    # Rewritten one by one

    def _scatter_reduce(self, node: Node) -> Node | None:
        into, axis, index, source, kind = node.args[:5]
        if kind != "sum" or not node.kwargs.get("include_self", True) or len(node.args) > 5:
            return None
        return self._new(_aten.scatter_add.default, into, axis, index, source)

    def _gather(self, node: Node) -> Node | None:
        """Whole rows."""
        source, axis, index = node.args[:3]
        vector, taken, named = index_along_rows(index), tensor(source), tensor(index)
        if axis != 0 or vector is None or taken is None or named is None:
            return None
        if taken.dim() != named.dim() or not _same(taken.shape[1:], named.shape[1:]):
            return None
        return self._new(_aten.index_select.default, source, 0, vector)

    def _select(self, node: Node) -> Node | None:
        source, axis, index = node.args[:3]
        if axis != 0 or source.op != "call_function":
            return None
        inner = source.args[0]
        if source.target is _aten.flip.default and list(source.args[1]) == [0]:
            length = tensor(source).shape[0]  # type: ignore[union-attr]
            if isinstance(length, int):
                return self._new(_aten.select.int, inner, 0, (-1 - index) % length)
        if source.target is _aten.expand.default and inner.target is _aten.unsqueeze.default:
            once = inner.args[0]
            if inner.args[1] == 0 and _same(tensor(once).shape, tensor(node).shape):  # type: ignore[union-attr]
                return once
        return None

    def _sum(self, node: Node) -> Node | None:
        """A sum over tensors that were stacked for it."""
        source = node.args[0]
        if source.target is not _aten.stack.default or list(node.args[1]) not in ([0], []):
            return None
        axis = source.args[1] if len(source.args) > 1 else 0
        if axis != 0 or len(node.args) > 2 or node.kwargs:
            return None
        if list(node.args[1]) == [] and tensor(node).dim() == 0:  # type: ignore[union-attr]
            return None
        total: Node = source.args[0][0]
        for one in source.args[0][1:]:
            total = self._new(_aten.add.Tensor, total, one)
        return total

    def _index(self, node: Node) -> Node | None:
        source, indices = node.args[:2]
        found = self._named(source, indices)
        if found is None:
            return None
        rows, columns = found
        if rows is None and columns is not None:
            return self._new(_aten.index_select.default, source, 1, columns)
        if columns is None:
            return None
        if rows is _EACH:
            column = self._new(_aten.unsqueeze.default, columns, 1)
            taken = self._new(_aten.gather.default, source, 1, column)
            return self._new(_aten.squeeze.dim, taken, 1)
        whole = self._new(_aten.index_select.default, source, 0, rows)
        return self._new(_aten.index_select.default, whole, 1, columns)

    def _index_put(self, node: Node) -> Node | None:
        into, indices, source = node.args[:3]
        accumulate = node.args[3] if len(node.args) > 3 else node.kwargs.get("accumulate", False)
        found, value = self._named(into, indices), tensor(node)
        if found is None or not accumulate or value is None:
            return None
        rows, columns = found
        if columns is None or tensor(source) is None:
            return None
        if rows is None:
            if not _same(tensor(source).shape[2:], value.shape[2:]):  # type: ignore[union-attr]
                return None
            return self._new(_aten.index_add.default, into, 1, columns, source)
        if rows is _EACH:
            column, added = (
                self._new(_aten.unsqueeze.default, one, 1) for one in (columns, source)
            )
            return self._new(_aten.scatter_add.default, into, 1, column, added)
        if not _same(tensor(source).shape[2:], value.shape[2:]):  # type: ignore[union-attr]
            return None
        sizes = [self._size(rows, 0), *value.shape[1:]]
        if not all(isinstance(size, int) for size in sizes[1:]):
            return None
        options = {"dtype": value.dtype, "device": value.device, "pin_memory": False}
        empty = self.graph.call_function(_aten.full.default, (sizes, 0.0), options)
        with value.fake_mode:
            shape = [tensor(rows).shape[0], *value.shape[1:]]  # type: ignore[union-attr]
            empty.meta["val"] = torch.full(shape, 0.0, dtype=value.dtype, device=value.device)
        whole = self._new(_aten.index_add.default, empty, 1, columns, source)
        return self._new(_aten.index_add.default, into, 0, rows, whole)

    def _named(self, source: Any, indices: Sequence[Any]) -> tuple[Any, Any] | None:
        """Rows and columns that an index names: each a vector, or None for all of them; for the
        rows also _EACH: one column of each."""
        value = tensor(source)
        if value is None or len(indices) != 2 or value.dim() < 2 or indices[1] is None:
            return None
        rows, columns = indices
        named = tensor(columns)
        if named is None or named.dtype != torch.int64:
            return None
        if rows is None:
            return (None, columns) if named.dim() == 1 else None
        if value.dim() == 2 and named.dim() == 1 and _counts(rows, value.shape[0]):
            return (_EACH, columns)
        # One of each: rows as a column, columns as a row.
        first = tensor(rows)
        if first is None or first.dtype != torch.int64 or first.dim() != 2 or named.dim() != 2:
            return None
        if first.shape[1] != 1 or named.shape[0] != 1:
            return None
        return self._new(_aten.squeeze.dim, rows, 1), self._new(_aten.squeeze.dim, columns, 0)

    # k rows for each row

    def _size(self, node: Node, axis: int) -> Any:
        size = node.meta["val"].size(axis)
        if isinstance(size, int):
            return size
        made = self.graph.call_function(_aten.sym_size.int, (node, axis))
        made.meta["val"] = size
        return made

    def _with_rows_apart(self, node: Node) -> Node | None:
        """Notes the same numbers with an axis of its own for k rows; returns what to use instead
        where a tensor has them together no longer."""
        value = tensor(node)
        assert value is not None
        together = _together(value)
        try:
            if together is not None:
                made = self._apart(node, *together)
                if made is not None:
                    self.apart[node] = made
                return None
            if node.target in _VIEWS and node.args[0] in self.apart:
                return self._new(_aten.reshape.default, self.apart[node.args[0]], node.args[1])
        except Exception:  # an operation that this does not fit: leave the graph as it is
            return None
        return None

    def _apart(self, node: Node, k: int, rows: Any) -> Node | None:
        target, arguments = node.target, node.args
        value = tensor(node)
        assert value is not None
        rest = list(value.shape[1:])
        if not all(isinstance(size, int) for size in rest):
            return None
        first = arguments[0] if arguments and isinstance(arguments[0], Node) else None
        if target in _VIEWS and first is not None:
            source = self.apart.get(first, first)
            if not rowwise.has_rows(source, rows):
                return None
            return self._new(_aten.reshape.default, source, [self._size(source, 0), k, *rest])
        inputs = [one for one in node.all_input_nodes if tensor(one) is not None]
        with_rows = [one for one in inputs if rowwise.mentions(one, rows)]
        if not with_rows or not all(one in self.apart for one in with_rows):
            return None
        if not all(_together(one.meta["val"]) == (k, rows) for one in with_rows):
            return None
        if target is _aten.mm.default and with_rows == [first]:
            return self._new(_aten.matmul.default, self.apart[first], arguments[1])
        if target is _aten.addmm.default and with_rows == [arguments[1]] and not node.kwargs:
            product = self._new(_aten.matmul.default, self.apart[arguments[1]], arguments[2])
            return self._new(_aten.add.Tensor, product, first)
        if target is _aten.bmm.default and len(with_rows) == len(inputs):
            return self._new(_aten.matmul.default, *(self.apart[one] for one in arguments))
        moved = self._moved(node, arguments)
        if moved is None:
            return None
        return self._new(target, *moved, **node.kwargs)

    def _moved(self, node: Node, arguments: tuple[Any, ...]) -> Any:
        """The arguments of a pointwise operation, or of one along other axes than the first, with
        one more axis."""
        target = node.target
        dimensions = len(node.meta["val"].shape)

        def apart(one: Node) -> Node:
            return self.apart.get(one, one)

        if rowwise.is_pointwise(target):
            fits = all(
                one in self.apart and tensor(one).dim() == dimensions  # type: ignore[union-attr]
                for one in node.all_input_nodes
                if tensor(one) is not None and one in self.apart
            )
            return map_arg(arguments, apart) if fits else None
        if target in (_aten.clone.default, _aten._to_copy.default):
            return map_arg(arguments, apart)
        if target in (_aten.transpose.int, _aten.permute.default):
            axes = arguments[1] if target is _aten.permute.default else list(arguments[1:3])
            axes = [axis % dimensions for axis in axes]
            if target is _aten.permute.default:
                if axes[0] != 0:
                    return None
                return (apart(arguments[0]), [0, *(axis + 1 for axis in axes)])
            return None if 0 in axes else (apart(arguments[0]), *(axis + 1 for axis in axes))
        if target in _ALONG:
            axis = arguments[1] if len(arguments) > 1 else 0
            inner = tensor(arguments[0])
            if not isinstance(axis, int) or inner is None:
                return None
            axis %= inner.dim() + (target is _aten.unsqueeze.default)
            return None if axis == 0 else (apart(arguments[0]), axis + 1, *arguments[2:])
        return None


#: In place of rows: each row, in order.
_EACH = object()


def _counts(node: Any, length: Any) -> bool:
    """Whether a node's values are 0, 1, ... up to a length."""
    if not isinstance(node, Node) or node.target is not _aten.arange.default:
        return False
    value = tensor(node)
    plain = len(node.args) == 1 and value is not None and value.dtype == torch.int64
    return bool(plain and _same(value.shape, [length]))  # type: ignore[union-attr]


def _together(value: torch.Tensor) -> tuple[int, Any] | None:
    """(k, symbol) for a tensor with k rows for each of those that a symbol counts."""
    if value.dim() == 0 or not isinstance(value.shape[0], torch.SymInt):
        return None
    k, rest = value.shape[0].node.expr.as_coeff_Mul()
    return (int(k), rest) if rest.is_Symbol and k.is_Integer and k > 1 else None


def unchanged(node: Node) -> Node | None:
    """The tensor whose numbers and shape an operation returns unchanged, if it does."""
    if rowwise.is_same(node):
        return node.args[0]
    value, target, arguments = tensor(node), node.target, node.args
    if value is None or not arguments:
        return None
    first = tensor(arguments[0])
    if target is _aten.copy.default:
        return _if_like(arguments[1], value)
    if target in (_aten.slice_scatter.default, _aten.slice_backward.default):
        scatters = target is _aten.slice_scatter.default
        return _if_like(arguments[1 if scatters else 0], value)
    if first is None:
        return None
    if target in _RESHAPED or target is _aten.slice.Tensor:
        steps = target is _aten.slice.Tensor and len(arguments) > 4 and arguments[4] != 1
        return None if steps else _if_like(arguments[0], value)
    if target is _aten.permute.default:
        order = [axis % first.dim() for axis in arguments[1]]
        return arguments[0] if order == list(range(first.dim())) else None
    if target in (_aten.mul.Scalar, _aten.div.Scalar) and arguments[1] == 1:
        return _if_like(arguments[0], value)
    return None


def _if_like(node: Any, value: torch.Tensor) -> Node | None:
    other = tensor(node)
    if other is None or other.dtype != value.dtype or not _same(other.shape, value.shape):
        return None
    return node


def _same(sizes: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether sizes are known to be equal."""
    if len(sizes) != len(others):
        return False
    return all(map(operator.eq, map(_plain, sizes), map(_plain, others)))


def _plain(size: Any) -> Any:
    return size.node.expr if isinstance(size, torch.SymInt) else size
