"""Turns a model on staged graphs into one on edges, if its graph of operations allows.

A staged graph has a particle for each periodic image; a graph of edges has one node for an atom and
all of its images. The energy stays the same if the model computes the same number for a particle
and its images. This module proves it operation by operation, from what torch traced:

- coordinates enter only through differences between the two ends of edges;
- whatever has a row for each particle, or each edge of a layer, is computed row by row;
- rows of edges come from particles, and are summed (or averaged, ...) into particles, by the ends
  of the layer's edges;
- ``contributing`` selects the particles whose energies count, and nothing else.

A particle's neighbours are complete up to some ring around the contributing particles, and each
layer of messages needs one ring more than it makes. The rings of both kinds of graph are counted:
the energies must come out complete.
"""

from __future__ import annotations

import math
import operator
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from . import rowwise, tails, trace
from .blocks import piece_of
from .failure import ModelError, place_in
from .rowwise import tensor
from .scripted import Scripted
from .source import leave_out_assertions
from .systems import Convention, Tensors

_aten = torch.ops.aten
_PLACE = "torchml_place"
_REMEDY = "Compile it without --fold: it then remains a model on staged graphs."


@dataclass(frozen=True)
class _Whole:
    """A tensor or number without rows: the same in both graphs."""


@dataclass(frozen=True)
class _Size:
    """A number of rows, or what is calculated from them; it may be a size, not a value."""


@dataclass(frozen=True)
class _Nodes:
    """Rows of particles, which equal those of their images up to a ring; ring 0 contributes.

    folded: the same for the graph of edges that a simulation on several ranks has.
    """

    ring: float = math.inf
    folded: float = math.inf


@dataclass(frozen=True)
class _Edges:
    """Rows of a layer's edges, right where the end in row 0 and that in row 1 of the edge list are
    within these rings."""

    layer: int
    rings: tuple[float, float] = (math.inf, math.inf)
    folded: tuple[float, float] = (math.inf, math.inf)


@dataclass(frozen=True)
class _Flags:
    """``contributing``, perhaps in another shape or type."""


@dataclass(frozen=True)
class _LastFlag:
    """The largest of the flags: 1 or, if all particles contribute, 0."""


@dataclass(frozen=True)
class _Sums:
    """Sums by ``contributing``; row 0, of the contributing particles, is the same in both."""


@dataclass(frozen=True)
class _Coordinates:
    """Coordinates times a factor."""

    factor: float = 1.0


@dataclass(frozen=True)
class _Ends:
    """Coordinates of the ends of edges, each times a factor, added."""

    layer: int
    factors: tuple[float, float]


@dataclass(frozen=True)
class _EdgeList:
    layer: int


@dataclass(frozen=True)
class _Index:
    """A row of an edge list, perhaps repeated along further axes."""

    layer: int
    row: int


class _Unproven(Exception):  # noqa: N818  (a finding about a model, not an error)
    """Why an operation cannot be folded, as the end of a sentence about the model."""


def folded(
    model: torch.nn.Module, called: Convention, example: Tensors, returns_forces: bool
) -> GraphModule:
    """The same energies as a function of (species, edge_index, edge_vectors, contributing).

    torchml_receiver_row of the result: the row of the original's edge lists with the receivers.
    called: as a model on staged graphs. Raises ModelError if the proof fails, which names the
    operation and its place in the source.
    """
    module = _traced(model, called, example, returns_forces)
    return _Folder(module, called).fold()


# The operations of a model


def _traced(
    model: torch.nn.Module, called: Convention, example: Tensors, returns_forces: bool
) -> GraphModule:
    """The operations that give the energies, without any that change a tensor in place."""
    place = called.differentiable

    def energies(*inputs: torch.Tensor) -> torch.Tensor:
        variable = inputs[place].detach().requires_grad_(True)
        with torch.enable_grad():
            output = model(*inputs[:place], variable, *inputs[place + 1 :])
            return trace.evaluated(output, returns_forces)[0].detach()

    with trace.model_errors(), trace.as_driver_runs_scripts(), trace.ConstantSizes() as constant:
        with _Places(_place_now):
            first = _trace(energies, example)
        trace.require_dynamic(first, called, constant)
        again = _Again(first)
        with _Places(lambda: again.place):
            module = _trace(torch.func.functionalize(again.run), example)
        trace.require_dynamic(module, called, constant)
    return module


def _trace(function: Callable[..., Any], example: Tensors) -> GraphModule:
    module = make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
    leave_out_assertions(module)
    return module


class _Again(torch.fx.Interpreter):  # type: ignore[misc]
    """Runs a graph; place: of the operation that runs, in the model's source."""

    place = ""

    def run_node(self, n: Node) -> Any:
        self.place = n.meta.get(_PLACE, "")
        return super().run_node(n)


class _Places:
    """Notes where each operation that is traced comes from, as text."""

    def __init__(self, now: Callable[[], str]) -> None:
        self.now = now
        self._original = Graph.create_node

    def __enter__(self) -> None:
        original, now = self._original, self.now

        def create_node(graph: Graph, *arguments: Any, **options: Any) -> Node:
            node = original(graph, *arguments, **options)
            node.meta[_PLACE] = now()
            return node

        Graph.create_node = create_node

    def __exit__(self, *_: object) -> None:
        Graph.create_node = self._original


def _place_now() -> str:
    if Scripted.place:
        return Scripted.place
    frames = traceback.extract_stack()
    return place_in([(frame.filename, frame.lineno or 0) for frame in frames])


# The proof

#: Operations on coordinates that keep them, and differences of them, proportional.
_KEPT = {_aten.clone.default, _aten._to_copy.default, _aten.contiguous.default}
_NEG = _aten.neg.default
_SCALED: dict[Any, Callable[[float, float], float]] = {
    _aten.mul.Tensor: operator.mul,
    _aten.mul.Scalar: operator.mul,
    _aten.div.Tensor: operator.truediv,
    _aten.div.Scalar: operator.truediv,
}
_ADDED = {_aten.add.Tensor: 1.0, _aten.sub.Tensor: -1.0}
#: Operations that move numbers without mixing rows, if the rows stay on axis 0.
_SHAPED = {
    *_KEPT,
    _aten.view.default,
    _aten.reshape.default,
    _aten._unsafe_view.default,
    _aten.expand.default,
    _aten.unsqueeze.default,
    _aten.squeeze.dim,
    _aten.squeeze.dims,
}
_SUMS = {_aten.sum.default, _aten.sum.dim_IntList}
_EXTREMES = {_aten.max.default, _aten.min.default, _aten.amax.default, _aten.amin.default}
_SCATTERS = {
    _aten.index_add.default,
    _aten.index_put.default,
    _aten.index_reduce.default,
    _aten.scatter_add.default,
    _aten.scatter_reduce.two,
}
_RANDOM = torch.Tag.nondeterministic_seeded


class _Folder:
    """Finds out what each operation computes, and makes the graph of the folded model."""

    def __init__(self, module: GraphModule, called: Convention) -> None:
        self.module = module
        self.graph = module.graph
        self.called = called
        self.kinds: dict[Any, Any] = {}
        self.vectors: dict[Node, float] = {}  # times the vector from row 0 to row 1

    def fold(self) -> GraphModule:
        self._simplify()
        self.inputs = [node for node in self.graph.nodes if node.op == "placeholder"]
        by_name = dict(zip(self.called.arguments, self.inputs, strict=True))
        self.species, self.coords = self.inputs[0], self.inputs[self.called.differentiable]
        self.flags = by_name["contributing"]
        self.lists = [node for name, node in by_name.items() if name.startswith("graph_layer")]
        self.particles = _symbol(self.species, 0)
        self.edges = [_symbol(node, 1) for node in self.lists]
        self.flipped = self._is_flipped()
        self.zeros = tails.known(self.graph.nodes, {self.flags: 1.0}, self.particles)
        for node in self.graph.nodes:
            if node.op != "output":
                self._find(node)
        (output,) = (node for node in self.graph.nodes if node.op == "output")
        return self._rewritten(output)

    def _simplify(self) -> None:
        """Removes operations that change nothing; pieces of tensors get operations of their
        own."""
        for node in list(self.graph.nodes):
            if node.op == "call_function" and rowwise.is_same(node):
                node.replace_all_uses_with(node.args[0])
            elif node.target is operator.getitem and (found := piece_of(*node.args)) is not None:
                with self.graph.inserting_before(node):
                    one = self.graph.call_function(*found)
                one.meta.update(node.meta)
                node.replace_all_uses_with(one)
        self.graph.eliminate_dead_code()

    def _is_flipped(self) -> bool:
        """Whether the model's receivers are in row 1 of its edge lists."""
        rows = [
            user.args[2]
            for node in self.lists
            for user in node.users
            if user.target is _aten.select.int and _sums_by(user)
        ]
        return rows.count(1) > rows.count(0)

    # Kinds

    def _find(self, node: Node) -> None:
        try:
            self.kinds[node] = self._kind(node)
        except _Unproven as reason:
            name = node.name if node.op != "call_function" else str(node.target)
            place = node.meta.get(_PLACE) or ""
            where = f" The operation is {name}" + (f", from\n    {place}" if place else ".")
            raise ModelError(
                "not_compilable",
                f"The model cannot be folded: it {reason}.{where}",
                _REMEDY,
            ) from None

    def _kind(self, node: Node) -> Any:
        if node.op == "placeholder":
            return self._kind_of_input(node)
        if node.op == "get_attr":
            return _Whole()
        if tensor(node) is None and not isinstance(node.meta.get("val"), (tuple, list)):
            return self._kind_of_number(node)
        if _RANDOM in getattr(node.target, "tags", ()):
            raise _Unproven("draws random numbers")
        kinds = [self.kinds[one] for one in node.all_input_nodes]
        if rowwise.filled_with(node) is not None:
            return self._rows(node)
        for rule in (self._of_coordinates, self._of_indices, self._of_flags, self._of_sums):
            found = rule(node, kinds)
            if found is not None:
                return found
        return self._kind_of_values(node, kinds)

    def _kind_of_input(self, node: Node) -> Any:
        if node is self.coords:
            return _Coordinates()
        if node is self.flags:
            return _Flags()
        return _EdgeList(self.lists.index(node)) if node in self.lists else _Nodes()

    def _kind_of_number(self, node: Node) -> Any:
        if node.target in (_aten.sym_size.int, _aten.sym_numel.default, _aten.sym_stride.int):
            return _Size()
        kinds = [self.kinds[one] for one in node.all_input_nodes]
        if node.target is _aten._local_scalar_dense.default:
            if kinds[0] in (_Whole(), _LastFlag()):
                return kinds[0]
            raise _Unproven("takes a number out of a tensor of all particles or edges")
        if all(kind == _Whole() for kind in kinds):
            return _Whole()
        if all(kind in (_Whole(), _Size(), _LastFlag()) for kind in kinds):
            return _Size()
        raise _Unproven("calculates a number from all particles or edges")

    def _rows(self, node: Node) -> Any:
        """What a tensor with equal rows is, from its sizes."""
        if rowwise.has_rows(node, self.particles):
            return _Nodes()
        for layer, symbol in enumerate(self.edges):
            if rowwise.has_rows(node, symbol):
                return _Edges(layer)
        self._require_no_rows(node)
        return _Whole()

    def _require_no_rows(self, node: Node) -> None:
        if any(rowwise.mentions(node, symbol) for symbol in (self.particles, *self.edges)):
            raise _Unproven("has particles or edges on an axis that is not the first")

    def _of_coordinates(self, node: Node, kinds: list[Any]) -> Any:
        """Coordinates, and what becomes of them until a difference between two ends."""
        if not any(isinstance(kind, (_Coordinates, _Ends)) for kind in kinds):
            return None
        target, first = node.target, kinds[0]
        if isinstance(first, _Coordinates) and (index := self._gathered(node)) is not None:
            factors = [0.0, 0.0]
            factors[index.row] = first.factor
            return _Ends(index.layer, (factors[0], factors[1]))
        made: Any = None
        if len(node.all_input_nodes) == 1:
            other = node.args[1] if len(node.args) == 2 else None
            if target in _KEPT and _is_floating(node):
                made = first
            elif target is _NEG:
                made = _times(first, -1.0)
            elif target in _SCALED and isinstance(other, (int, float)):
                made = _times(first, _SCALED[target](1.0, float(other)))
        elif target in _ADDED and len(node.args) == 2 and not node.kwargs:
            one, two = (self.kinds.get(arg) for arg in node.args)
            if isinstance(one, _Ends) and isinstance(two, _Ends) and one.layer == two.layer:
                sign = _ADDED[target]
                factors = [a + sign * b for a, b in zip(one.factors, two.factors, strict=True)]
                made = _Ends(one.layer, (factors[0], factors[1]))
        if made is None:
            raise _Unproven("uses coordinates other than in differences between the ends of edges")
        if isinstance(made, _Ends) and made.factors[0] == -made.factors[1]:
            self.vectors[node] = made.factors[1]
            return _Edges(made.layer)
        return made

    def _gathered(self, node: Node) -> _Index | None:
        """The index by which an operation takes rows of its first argument."""
        target, args = node.target, node.args
        index: Any = None
        if target in (_aten.index_select.default, _aten.gather.default):
            index = args[2] if _is_first(args[1], args[0]) else None
        elif target is _aten.index.Tensor and len(args[1]) == 1:
            index = args[1][0]
        elif target is _aten.embedding.default:
            index = args[1]
        found = self.kinds.get(index) if isinstance(index, Node) else None
        if not isinstance(found, _Index) or index is args[0]:
            return None
        flat = tensor(index).dim() == 1  # type: ignore[union-attr]
        return found if flat or target is _aten.gather.default else None

    def _of_indices(self, node: Node, kinds: list[Any]) -> Any:
        """Edge lists and their rows, and what takes and sums rows by them."""
        target = node.target
        if not any(isinstance(kind, (_EdgeList, _Index)) for kind in kinds):
            return None
        first = kinds[0]
        if isinstance(first, _EdgeList):
            if target is _aten.select.int and _is_first(node.args[1], node.args[0]):
                return _Index(first.layer, int(node.args[2]) % 2)
            if target in _KEPT and not _is_floating(node):
                return first
        elif isinstance(first, _Index) and len(kinds) - kinds.count(_Size()) == 1:
            if target in _SHAPED and rowwise.has_rows(node, self.edges[first.layer]):
                return first
        elif (index := self._gathered(node)) is not None:
            first = _as_nodes(self.kinds[node.args[0]])
            if first is None:
                raise _Unproven("uses the numbers of particles as values")
            rings, folded = [math.inf] * 2, [math.inf] * 2
            rings[index.row], folded[index.row] = first.ring, first.folded
            return _Edges(index.layer, (rings[0], rings[1]), (folded[0], folded[1]))
        elif target in _SCATTERS:
            return self._scattered(node)
        raise _Unproven("uses edge lists other than to take or sum rows of particles by them")

    def _scattered(self, node: Node) -> _Nodes:
        """Rows of edges added to rows of particles."""
        base, index, source = self._of_scatter(node)
        into = _as_nodes(self.kinds[base])
        by, edges = self.kinds[index], self.kinds[source]
        if into is None or not isinstance(by, _Index) or not isinstance(edges, _Edges):
            raise _Unproven("sums something other than rows of edges into rows of particles")
        if edges.layer != by.layer:
            raise _Unproven("sums the edges of one graph by the list of another")
        row, other = by.row, 1 - by.row
        layers = len(self.lists)
        # Layer 1 has all neighbours of the contributing particles, ring 0, and so on.
        ring = min(into.ring, by.layer, edges.rings[row], edges.rings[other] - 1)
        # The graph of edges has all neighbours of the receivers in rings 0 to layers - 1, and has
        # them as senders, too, one ring further in.
        complete = layers - 1 if (row == 1) == self.flipped else layers - 2
        folded = min(into.folded, complete, edges.folded[row], edges.folded[other] - 1)
        return _Nodes(ring, folded)

    def _of_scatter(self, node: Node) -> tuple[Node, Node, Node]:
        """Into what, by which index, what. Raises _Unproven for one that depends on order."""
        args = node.args
        if node.target is _aten.index_put.default:
            accumulate = args[3] if len(args) > 3 else node.kwargs.get("accumulate")
            if accumulate and len(args[1]) == 1 and isinstance(args[2], Node):
                return args[0], args[1][0], args[2]
        elif _is_first(args[1], node) and len(args) > 3:
            flat = node.target in (_aten.index_add.default, _aten.index_reduce.default)
            index = args[2]
            if not flat or tensor(index).dim() == 1:  # type: ignore[union-attr]
                return args[0], index, args[3]
        raise _Unproven("sums rows in a way that is not understood")

    def _of_flags(self, node: Node, kinds: list[Any]) -> Any:
        """``contributing``, as an index or for its largest value; None for its use as a number."""
        if _Flags() not in kinds:
            return None
        if kinds[0] == _Flags() and len(kinds) - kinds.count(_Size()) == 1:
            if node.target in _SHAPED and rowwise.has_rows(node, self.particles):
                return _Flags()
            if node.target is _aten.max.default:
                return _LastFlag()
        if node.target in _SCATTERS:
            base, index, source = self._of_scatter(node)
            nodes = self.kinds[source]
            how = node.args[4] if node.target is _aten.scatter_reduce.two else "sum"
            known = self.kinds[index] == _Flags() and self.kinds[base] in (_Whole(), _Size())
            if known and isinstance(nodes, _Nodes) and how == "sum":
                self._require_complete(nodes)
                return _Sums()
            raise _Unproven("uses contributing as an index for something other than a sum")
        return None

    def _of_sums(self, node: Node, kinds: list[Any]) -> Any:
        """Sums by ``contributing``: only row 0 may be used."""
        if _Sums() not in kinds:
            return None
        target, args = node.target, node.args
        if node.args[0] is node.all_input_nodes[0] and kinds[0] == _Sums():
            if target is _aten.select.int and _is_first(args[1], args[0]) and args[2] == 0:
                return _Whole()
            if target is _aten.slice.Tensor:
                given = list(args[1:])
                axis, begin, end, step = given + [0, None, None, 1][len(given) :]
                alone = end == 1 or (isinstance(step, int) and step > 1)
                if axis == 0 and begin in (0, None) and alone:
                    return _Whole()
        pointwise = target in _KEPT or torch.Tag.pointwise in getattr(target, "tags", ())
        if pointwise and all(kind in (_Whole(), _Sums()) for kind in kinds):
            return _Sums()
        raise _Unproven("uses the sum of particles that do not contribute")

    def _kind_of_values(self, node: Node, kinds: list[Any]) -> Any:
        """What operations on numbers give."""
        target = node.target
        if target is operator.getitem:
            return kinds[0]
        plain = [_as_nodes(kind) or kind for kind in kinds]
        sizes = [kind for kind in plain if isinstance(kind, (_Size, _LastFlag))]
        if sizes and target not in rowwise.SIZED:
            raise _Unproven("depends on the number of particles or edges")
        rows = [kind for kind in plain if isinstance(kind, (_Nodes, _Edges))]
        others = [kind for kind in plain if not isinstance(kind, (_Nodes, _Edges, _Whole, _Size))]
        if others:
            raise _Unproven("does something with particles or edges that is not understood")
        if not rows and not self._has_rows(node):
            self._require_no_rows(node)
            return _Whole()
        for symbol in (self.particles, *self.edges):
            if _is_row_wise(node, symbol):
                return _common(rows, self._rows_of(symbol))
        if len(rows) == 1 and isinstance(rows[0], _Nodes) and not self._has_rows(node):
            if target in _SUMS:
                self._require_complete(rows[0])
                same = self.zeros.get(node.args[0])
                if same is not None and same.number == 0.0:
                    return _Whole()
                raise _Unproven(
                    "sums over all particles, not only over those that contribute: multiply by "
                    "(1 - contributing) first"
                )
            if target in _EXTREMES and rows[0] == _Nodes():
                return _Whole()
        raise _Unproven("mixes particles or edges with each other in a way that is not understood")

    def _has_rows(self, node: Node) -> bool:
        return any(rowwise.mentions(node, symbol) for symbol in (self.particles, *self.edges))

    def _rows_of(self, symbol: Any) -> Any:
        return _Nodes() if symbol == self.particles else _Edges(self.edges.index(symbol))

    def _require_complete(self, nodes: _Nodes) -> None:
        """Raises _Unproven unless the contributing particles' rows are complete."""
        if nodes.ring < 0:
            raise _Unproven(
                f"passes messages {len(self.lists) - int(nodes.ring)} times, with graphs for "
                f"{len(self.lists)} layers, or uses the graphs in another order than from the last "
                "to the first"
            )
        if nodes.folded < 0:
            raise _Unproven("sums messages at both ends of its edges")

    # The folded model

    def _rewritten(self, output: Node) -> GraphModule:
        graph, species = self.graph, self.species
        result = output.args[0]
        kind = _as_nodes(self.kinds[result]) or self.kinds[result]
        if isinstance(kind, _Nodes):
            self._find_energies(result, kind)
        elif kind != _Whole():
            self._find_energies(result, None)
        with graph.inserting_after(species):
            contributing = graph.placeholder("contributing_1")
            vectors = graph.placeholder("edge_vectors")
            edge_index = graph.placeholder("edge_index")
        first = next(node for node in graph.nodes if node.op != "placeholder")
        with graph.inserting_before(first):
            flags = graph.call_function(_aten.rsub.Scalar, (contributing, 1))
        self.flags.replace_all_uses_with(flags)
        for node, factor in self.vectors.items():
            self._use_vectors(node, vectors, -factor if self.flipped else factor)
        for node in list(graph.nodes):
            if node.target is _aten.sym_size.int and node.args[0] is self.coords:
                if node.args[1] == 0:
                    node.update_arg(0, species)
                else:
                    node.replace_all_uses_with(3)
                    graph.erase_node(node)
            elif node.target is _aten.select.int and node.args[0] in self.lists and self.flipped:
                node.update_arg(2, 1 - int(node.args[2]) % 2)
            elif self.kinds.get(node) == _LastFlag() and tensor(node) is None:
                node.replace_all_uses_with(1)  # room for both kinds of particles
                graph.erase_node(node)
        for one in self.lists:
            one.replace_all_uses_with(edge_index)
        with graph.inserting_before(output):
            if isinstance(kind, _Nodes):
                energies = graph.call_function(_aten.view.default, (result, [-1]))
                result = graph.call_function(_aten.mul.Tensor, (energies, contributing))
            else:
                result = graph.call_function(_aten.sum.default, (result,))
        output.update_arg(0, result)
        graph.eliminate_dead_code()
        self._share()
        for node in (self.coords, self.flags, *self.lists):
            graph.erase_node(node)
        self.module.recompile()
        self.module.torchml_receiver_row = int(self.flipped)
        return self.module

    def _share(self) -> None:
        """Makes one of operations that have become equal, as those on vectors in all layers."""
        first: dict[Any, Node] = {}
        for node in list(self.graph.nodes):
            if node.op not in ("call_function", "get_attr"):
                continue
            key = (node.op, node.target, str(node.args), str(node.kwargs))
            same = first.setdefault(key, node)
            if same is not node:
                node.replace_all_uses_with(same)
                self.graph.erase_node(node)

    def _find_energies(self, node: Node, kind: _Nodes | None) -> None:
        """Raises ModelError unless a tensor has the energies of all contributing particles."""
        value = tensor(node)
        assert value is not None
        reason = "returns something other than energies of particles, or their sum"
        if kind is not None and all(size == 1 for size in value.shape[1:]):
            try:
                self._require_complete(kind)
            except _Unproven as unproven:
                reason = str(unproven)
            else:
                return
        raise ModelError("not_compilable", f"The model cannot be folded: it {reason}.", _REMEDY)

    def _use_vectors(self, node: Node, vectors: Node, factor: float) -> None:
        """Replaces a difference of coordinates."""
        value = tensor(node)
        assert value is not None
        made = vectors
        with self.graph.inserting_before(node):
            if value.dtype != self.called.types[self.called.differentiable]:
                made = self.graph.call_function(
                    _aten._to_copy.default, (made,), {"dtype": value.dtype}
                )
            if factor != 1.0:
                made = self.graph.call_function(_aten.mul.Tensor, (made, factor))
        node.replace_all_uses_with(made)


def _symbol(node: Node, axis: int) -> Any:
    return node.meta["val"].size(axis).node.expr


def _is_first(axis: Any, node: Node) -> bool:
    """Whether an axis of a tensor, perhaps counted from the last, is the first."""
    value = tensor(node)
    return value is not None and axis % max(value.dim(), 1) == 0


def _is_floating(node: Node) -> bool:
    value = tensor(node)
    return value is not None and value.is_floating_point()


def _times(kind: _Coordinates | _Ends, factor: float) -> _Coordinates | _Ends:
    if isinstance(kind, _Coordinates):
        return _Coordinates(kind.factor * factor)
    return replace(kind, factors=(kind.factors[0] * factor, kind.factors[1] * factor))


def _as_nodes(kind: Any) -> _Nodes | None:
    """Rows of particles; flags are right for those that contribute."""
    if isinstance(kind, _Flags):
        return _Nodes(0, 0)
    return kind if isinstance(kind, _Nodes) else None


def _common(rows: list[Any], made: Any) -> Any:
    """The rows of an operation's result, from those of its arguments."""
    if isinstance(made, _Nodes):
        return _Nodes(
            min((one.ring for one in rows), default=math.inf),
            min((one.folded for one in rows), default=math.inf),
        )
    for one in rows:
        made = replace(
            made,
            rings=tuple(map(min, made.rings, one.rings)),
            folded=tuple(map(min, made.folded, one.folded)),
        )
    return made


def _sums_by(index: Node) -> bool:
    """Whether something is summed by an index, or by what is the same in another shape."""
    stack = [index]
    while stack:
        for user in stack.pop().users:
            if user.target in _SCATTERS:
                return True
            if user.target in _SHAPED:
                stack.append(user)
    return False


def _is_row_wise(node: Node, symbol: Any) -> bool:
    """As rowwise.is_row_wise, also for several rows in place of one, as products of matrices with
    more than two axes have them, and for an axis of size 1 before that of the rows."""
    if rowwise.is_row_wise(node, symbol):
        return True
    if node.target is _aten.native_layer_norm.default:
        value = tensor(node.args[0])
        return (
            value is not None and len(node.args[1]) < value.dim() and _leads(node.args[0], symbol)
        )
    if not _leads(node, symbol):
        return False
    inputs = [one for one in node.all_input_nodes if rowwise.mentions(one, symbol)]
    if not all(_leads(one, symbol) for one in inputs):
        return False
    target = node.target
    if target in (_aten.mm.default, _aten.bmm.default):
        return inputs == [node.args[0]]
    if target is _aten.addmm.default:
        return inputs == [node.args[1]]
    if target in _SHAPED:
        return True
    if torch.Tag.pointwise in getattr(target, "tags", ()):
        shapes = [tensor(one).shape for one in (*inputs, node)]  # type: ignore[union-attr]
        return all(len(shape) == len(shapes[0]) for shape in shapes)
    return False


def _leads(node: Any, symbol: Any) -> bool:
    """Whether the first axis, except for those of size 1, counts rows, or a fixed number for
    each."""
    value = tensor(node)
    if value is None:
        return False
    sizes = list(value.shape)
    while sizes and isinstance(sizes[0], int) and sizes[0] == 1:
        del sizes[0]
    if not sizes or not isinstance(sizes[0], torch.SymInt):
        return False
    several = sizes[0].node.expr / symbol
    rest = [size for size in sizes[1:] if isinstance(size, torch.SymInt)]
    return bool(several.is_integer and not several.has(symbol)) and not any(
        symbol in size.node.expr.free_symbols for size in rest
    )
