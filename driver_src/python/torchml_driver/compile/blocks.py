"""Divides a model's graph into parts that take rows (edges, pairs, descriptors) block by block.

Operations on rows that need nothing but the same rows of others, and tensors without rows, form a
part; sums of rows into particles end it, and so does whatever needs all rows. A part begins as late
as it can, so that as much as possible happens while a block is in the cache. A later part computes
again what is cheap, and reads from memory what is not (the results of matrix products).

docs/inside/compiled-models.md has a picture of one layer of message passing, whole and in parts.

Between two ends of a part, tensors of edges exist for one block only: some thousand rows, which a
core's cache holds, instead of all of them, which go to memory and back between any two loops.
Torch's own compiler fuses loops over all rows, and its fusion ends at every matrix product and at
every sum over an index; it divides no rows. Blocks are also what threads share: each part is code
for one thread, and sums are added up in a fixed order, so that results do not depend on the number
of threads.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from . import exchanging, hoist, package, products, rowwise, simplify, tails, trace
from .plan import Exchange, Input, Output, Part, Plan, Select, Zeros
from .rowwise import tensor
from .systems import Convention

_aten = torch.ops.aten
#: Of the widest tensor in a block: a few of them fit into a core's own cache.
_BLOCK_BYTES = 1024 * 1024
_SMALLEST_BLOCK, _LARGEST_BLOCK = 64, 8192


@dataclass(frozen=True)
class Blocks:
    """A plan, and the code of its parts by their names. places: of each symbol for a size, the
    number of an argument that has it, and on which axis."""

    plan: Plan
    code: dict[str, GraphModule]
    places: dict[Any, tuple[int, int]]


#: The group of exchanges between ranks, which the runtime does between parts.
_EXCHANGE = "exchange"


def divided(
    program: Any, called: Convention, entry: str, *, by_rows: bool = True, rings: bool = True
) -> Blocks | None:
    """The parts of an exported program; None if no part of it would work on blocks of rows and
    nothing is exchanged.

    by_rows: let parts work on blocks; otherwise only exchanges divide the program. rings: leave out
    the last rows of tensors where they are known to be zero, or nothing reads them, as with the
    outer rings of staged graphs.

    program: torch.export.ExportedProgram of plain operations, sizes dynamic as ``called`` says.
    """
    for rows in (True, False) if by_rows else (False,):
        graph_module = trace.module_of(program.run_decompositions({}))
        simplify.simplify(graph_module)
        products.transpose_constants(graph_module)
        try:
            return _Divider(graph_module, called, entry, rows, rings).divide()
        except NotDivisibleError:
            continue
    return None


def exported(
    blocks: Blocks, called: Convention, example: Sequence[torch.Tensor]
) -> Iterator[tuple[Part, Any]]:
    """The parts in turn, each as a torch.export.ExportedProgram; example: a model's inputs."""
    given = _given_to_parts(blocks, called, example)
    for part in blocks.plan.parts():
        module = blocks.code[part.name]
        arguments = [node.meta["val"] for node in module.graph.nodes if node.op == "placeholder"]
        dynamic = tuple(
            {
                axis: torch.export.Dim.DYNAMIC
                for axis, size in enumerate(value.shape)
                if not isinstance(size, int)
            }
            for value in arguments
        )
        inputs = list(given[part.name])
        for place, (one, value) in enumerate(zip(part.inputs, arguments, strict=True)):
            if one.split:  # all rows in place of a block of them; their numbers do not matter
                argument, axis = blocks.places[value.shape[0].node.expr]
                shape = (example[argument].size(axis), *inputs[place].shape[1:])
                inputs[place] = inputs[place].new_zeros(shape)
        yield part, torch.export.export(module, tuple(inputs), dynamic_shapes=dynamic)


def _given_to_parts(
    blocks: Blocks, called: Convention, example: Sequence[torch.Tensor]
) -> dict[str, tuple[torch.Tensor, ...]]:
    """What each part is given first."""
    given: dict[str, tuple[torch.Tensor, ...]] = {}

    def noting(name: str) -> package.Run:
        def run(*inputs: torch.Tensor) -> Any:
            given.setdefault(name, tuple(tensor.clone() for tensor in inputs))
            return blocks.code[name](*inputs)

        return run

    package.run_plan(blocks.plan, {name: noting(name) for name in blocks.code}, called, example)
    return given


class NotDivisibleError(Exception):
    """A size that no argument has, or the like: the program stays whole."""


@dataclass
class _Rows:
    """A sum of rows into other rows: what is added, at which rows."""

    source: Node
    index: Node
    group: Any


@dataclass
class _Divider:
    module: GraphModule
    called: Convention
    entry: str
    by_rows: bool
    rings: bool
    #: A symbol; None: all rows at once; or _EXCHANGE.
    groups: dict[Node, Any] = field(default_factory=dict)
    sums: dict[Node, _Rows] = field(default_factory=dict)
    levels: dict[Node, int] = field(default_factory=dict)  # counted from the end
    #: Results that later parts take, although they could compute them again.
    kept: set[Node] = field(default_factory=set)
    numbers: dict[Node, int] = field(default_factory=dict)  # of values
    #: Of whose last rows something may be known when the plan runs: that they are this number.
    tails: dict[Node, float] = field(default_factory=dict)
    #: What is exchanged has to be made, even if it could be had anywhere.
    made_to_exchange: set[Node] = field(default_factory=set)

    def divide(self) -> Blocks | None:
        graph = self.module.graph
        self._simplify()
        self.arguments = [node for node in graph.nodes if node.op == "placeholder"]
        self._name_sizes()
        if self.by_rows:
            self._replace_sums()
        self._make_what_is_exchanged()
        (output,) = (node for node in graph.nodes if node.op == "output")
        self.results = list(output.args[0])
        needed = self._needed()
        self.order = [node for node in graph.nodes if node in needed]
        if not needed.issuperset(self.results):
            return None
        self._group()
        if all(group is None for group in self.groups.values()):
            return None
        self._level()
        self.kept = hoist.moved(self.order, self.levels, self.groups, self._stays, self._are_apart)
        return self._blocks()

    # What there is

    def _simplify(self) -> None:
        """Pieces of a tensor become operations by themselves; senders are taken once."""
        graph = self.module.graph
        first: dict[Any, Node] = {}
        for node in list(graph.nodes):
            if node.op == "call_function" and rowwise.is_same(node):
                node.replace_all_uses_with(node.args[0])
                continue
            one = node
            if node.target is operator.getitem and (piece := piece_of(*node.args)) is not None:
                with graph.inserting_before(node):
                    one = graph.call_function(*piece)
                one.meta["val"] = node.meta["val"]
                node.replace_all_uses_with(one)
            if one.target is _aten.select.int and one.args[0].op == "placeholder":
                same = first.setdefault(one.args, one)
                if same is not one:
                    one.replace_all_uses_with(same)
        graph.eliminate_dead_code()

    def _name_sizes(self) -> None:
        """Which argument and axis has each size; which sizes count rows."""
        self.places: dict[Any, tuple[int, int]] = {}
        self.row_symbols: list[Any] = []
        for number, (node, sizes) in enumerate(zip(self.arguments, self.called.sizes, strict=True)):
            value = tensor(node)
            assert value is not None
            for axis, name in enumerate(sizes):
                size = value.size(axis)
                if not isinstance(size, torch.SymInt):
                    continue
                symbol = size.node.expr
                self.places.setdefault(symbol, (number, axis))
                if isinstance(name, str) and symbol.is_Symbol and symbol not in self.row_symbols:
                    self.row_symbols.append(symbol)

    def _sizes(self, node: Node) -> tuple[int | tuple[int, int], ...] | None:
        """A tensor's, as a plan has them; None if a size is none of the arguments'."""
        sizes: list[int | tuple[int, int]] = []
        for size in tensor(node).shape:  # type: ignore[union-attr]
            if isinstance(size, int):
                sizes.append(size)
            elif size.node.expr in self.places:
                sizes.append(self.places[size.node.expr])
            else:
                return None
        return tuple(sizes)

    def is_filled(self, node: Any) -> bool:
        return (
            isinstance(node, Node)
            and rowwise.filled_with(node) is not None
            and self._sizes(node) is not None
        )

    def is_given(self, node: Node) -> bool:
        """One row of an edge list, which the runtime takes by itself."""
        return node.target is _aten.select.int and self._is_row_of_argument(node)

    def _is_row_of_argument(self, node: Node) -> bool:
        argument, axis, index = node.args[:3]
        value = tensor(argument)
        listed = value is not None and value.dtype == torch.int64 and isinstance(value.size(0), int)
        return bool(listed and argument in self.arguments and axis == 0 and isinstance(index, int))

    def is_free(self, node: Node) -> bool:
        """Whether a node can be had anywhere: parameters, sizes, what is made of these alone."""
        if exchanging.is_exchange(node) or node in self.made_to_exchange:
            return False
        if node.op == "get_attr" or self.is_filled(node):
            return True
        if tensor(node) is None:  # a size, or several tensors
            return not isinstance(node.meta.get("val"), (tuple, list))
        return bool(
            node.op == "call_function" and all(self.is_free(one) for one in node.all_input_nodes)
        )

    def _needed(self) -> set[Node]:
        """What has to be computed for the results; of filled tensors nothing but the size is."""
        needed: set[Node] = set()
        stack = list(self.results)
        while stack:
            node = stack.pop()
            if node not in needed and self._is_work(node):
                needed.add(node)
                stack += node.all_input_nodes
        return needed

    def _is_work(self, node: Node) -> bool:
        return node.op == "call_function" and not self.is_free(node) and not self.is_given(node)

    def _replace_sums(self) -> None:
        """Sums of rows into something become sums into zeros, and an addition."""
        graph = self.module.graph
        for node in list(graph.nodes):
            found = self._sum_of_rows(node)
            if found is None:
                continue
            base = node.args[0]
            if rowwise.filled_with(base) != 0.0 or not self.is_filled(base):
                with graph.inserting_before(node):
                    zeros = graph.call_function(_aten.zeros_like.default, (base,))
                    zeros.meta["val"] = node.meta["val"]
                with graph.inserting_after(node):
                    total = graph.call_function(_aten.add.Tensor, (base, node))
                    total.meta["val"] = node.meta["val"]
                node.replace_all_uses_with(total, lambda user, total=total: user is not total)
                node.update_arg(0, zeros)
            self.sums[node] = found

    def _make_what_is_exchanged(self) -> None:
        """The runtime exchanges arguments and what parts make, nothing else."""
        graph = self.module.graph
        for node in list(graph.nodes):
            if not exchanging.is_exchange(node):
                continue
            source = node.args[0]
            if source.op == "placeholder" or self._is_work(source):
                continue
            with graph.inserting_before(node):
                made = graph.call_function(_aten.clone.default, (source,))
            made.meta["val"] = source.meta["val"]
            node.update_arg(0, made)
            self.made_to_exchange.add(made)

    def _sum_of_rows(self, node: Node) -> _Rows | None:
        """If a node adds rows of one tensor to rows of another that has none of them."""
        if node.op != "call_function":
            return None
        if node.target is _aten.index_add.default:
            _, axis, index, source = node.args[:4]
            plain = axis == 0 and node.kwargs.get("alpha", 1) == 1 and len(node.args) == 4
        elif node.target is _aten.index_put.default:
            _, indices, source = node.args[:3]
            accumulate = node.args[3] if len(node.args) > 3 else node.kwargs.get("accumulate")
            plain = bool(accumulate) and len(indices) == 1
            index = indices[0] if plain else None
        elif node.target is _aten.scatter_add.default:
            _, axis, spread, source = node.args
            index = simplify.index_along_rows(spread)
            plain = axis == 0 and index is not None
        else:
            return None
        value, rows = tensor(index), tensor(source)
        if not plain or value is None or rows is None or self._sizes(node) is None:
            return None
        if value.dim() != 1 or value.dtype != torch.int64 or rows.dtype != node.meta["val"].dtype:
            return None
        if rows.dim() != tensor(node).dim():  # type: ignore[union-attr]
            return None
        for symbol in self.row_symbols:
            inside = rowwise.has_rows(index, symbol) and rowwise.has_rows(source, symbol)
            if inside and not rowwise.mentions(node, symbol):
                return _Rows(source, index, symbol)
        return None

    # Which part computes what

    def _group(self) -> None:
        for node in self.order:
            if node in self.sums:
                self.groups[node] = self.sums[node].group
                continue
            if exchanging.is_exchange(node):
                self.groups[node] = _EXCHANGE
                continue
            symbols = self.row_symbols if self.by_rows else []
            self.groups[node] = next((s for s in symbols if rowwise.is_row_wise(node, s)), None)

    def _level(self) -> None:
        """Gives each node the number of the ends of parts between it and the results.

        Nodes of a group and a level can be one part. Counted from the results and not from the
        inputs, so that a node is computed as late as possible: beside what uses it, where its rows
        are still in the cache, and not where its inputs happen to be known.
        """
        for node in reversed(self.order):
            level = 0
            for user in node.users:
                if user not in self.levels:
                    continue
                level = max(level, self.levels[user] + self._are_apart(node, user))
            self.levels[node] = level
        for node in self.order:
            if node.target is operator.getitem:  # several tensors at once go nowhere by themselves
                self.levels[node] = self.levels[node.args[0]]

    def _are_apart(self, node: Node, user: Node) -> bool:
        """Whether a node and one that takes its result cannot be in one part."""
        # Rows of edges and rows of particles are not the same rows.
        together = self.groups[user] is self.groups[node] or self.groups[user] == self.groups[node]
        # As mix(h) in the picture above: a block of edges takes any of its rows.
        whole_input = self.groups[user] is not None and not rowwise.has_rows(
            node, self.groups[user]
        )
        exchanged = _EXCHANGE in (self.groups[user], self.groups[node])
        # A row of a sum is complete when the last block was added.
        return not together or node in self.sums or whole_input or exchanged

    def _stays(self, node: Node) -> bool:
        """Whether a node stays at its level: sums, exchanges, and what goes nowhere by itself."""
        alone = tensor(node) is not None and node.target is not operator.getitem
        ends = node in self.sums or exchanging.is_exchange(node) or node in self.made_to_exchange
        return ends or node in self.results or not alone

    def _segments(self) -> list[tuple[Any, list[Node]]]:
        """Groups of nodes in the order in which they run."""
        collected: dict[tuple[int, Any], list[Node]] = {}
        for node in self.order:
            collected.setdefault((-self.levels[node], str(self.groups[node])), []).append(node)
        return [
            (self.groups[nodes[0]], nodes)
            for _, nodes in sorted(collected.items(), key=lambda item: item[0])
        ]

    def number(self, node: Node) -> int:
        if node in self.arguments:
            return self.arguments.index(node)
        return self.numbers.setdefault(node, len(self.arguments) + len(self.numbers))

    def _find_tails(self) -> None:
        """Sums have zeros where nothing is added; the last particles do not contribute."""
        self.tails.update(dict.fromkeys(self.sums, 0.0))
        if any(name.startswith("graph_layer") for name in self.called.arguments):
            self.tails[self.arguments[self.called.arguments.index("contributing")]] = 1.0

    def _blocks(self) -> Blocks:
        """Makes a part of each segment, and of the parts a plan.

        Twice through all of them: from the end, to find out what each part has to hand on; and from
        the beginning, to write the parts' code, for which a part has to know what it is given.
        """
        segments = self._segments()
        where = {node: place for place, (_, nodes) in enumerate(segments) for node in nodes}
        drafts = [_Draft(self, group, self.levels[nodes[0]]) for group, nodes in segments]
        wanted: dict[int, list[Node]] = {place: [] for place in range(len(segments))}
        for node in self.results:
            wanted[where[node]].append(node)
        for place in reversed(range(len(segments))):
            group, nodes = segments[place]
            if group == _EXCHANGE:
                for node in nodes:
                    if (source := node.args[0]) in where:
                        wanted[where[source]].append(source)
                continue
            sums = [node for node in nodes if node in self.sums]
            drafts[place].add_sums(sums)
            drafts[place].add_outputs([n for n in dict.fromkeys(wanted[place]) if n not in sums])
            for node in drafts[place].needed():
                wanted[where[node]].append(node)  # of an earlier part, which comes later here
        if self.rings:
            self._find_tails()
        steps: list[Select | Zeros | Exchange | Part] = []
        code: dict[str, GraphModule] = {}
        given: set[Node] = set()
        for place, draft in enumerate(drafts):
            if draft.group == _EXCHANGE:
                for node in segments[place][1]:
                    numbers = (self.number(node), self.number(node.args[0]))
                    steps.append(Exchange(*numbers, exchanging.is_backward(node)))
                continue
            if not draft.outputs and not draft.sums:
                continue  # later parts compute all of it again, since it is cheap
            name = f"{self.entry}.{place}"
            part, code[name] = draft.part(name)
            for node in draft.given():
                if node not in given:
                    given.add(node)
                    source = self.arguments.index(node.args[0])
                    steps.append(Select(self.number(node), source, node.args[2]))
            for node in draft.sums:
                sizes = self._sizes(node)
                assert sizes is not None
                steps.append(Zeros(self.number(node), tensor(node).dtype, sizes))  # type: ignore[union-attr]
            steps.append(part)
        plan = Plan(tuple(steps), tuple(self.numbers[node] for node in self.results))
        return Blocks(plan, code, self.places)


def piece_of(whole: Node, index: int) -> tuple[Any, tuple[Any, ...]] | None:
    """The operation, and its arguments, that gives one of the tensors of a split."""
    if whole.target is _aten.unbind.int:
        axis = whole.args[1] if len(whole.args) > 1 else 0
        return _aten.select.int, (whole.args[0], axis, index)
    if whole.target in (_aten.split.Tensor, _aten.split_with_sizes.default):
        source, sizes = whole.args[:2]
        axis = whole.args[2] if len(whole.args) > 2 else 0
        if isinstance(sizes, int):
            return _aten.slice.Tensor, (source, axis, index * sizes, (index + 1) * sizes)
        if isinstance(sizes, (list, tuple)) and all(isinstance(size, int) for size in sizes):
            begin = sum(sizes[:index])
            return _aten.slice.Tensor, (source, axis, begin, begin + sizes[index])
    return None


class _Draft:
    """A part on its way: which nodes it computes, and from what."""

    def __init__(self, divider: _Divider, group: Any, level: int) -> None:
        self.divider = divider
        self.group = group
        self.level = level
        self.outputs: list[Node] = []
        self.sums: list[Node] = []
        self.computed: set[Node] = set()
        self.taken: dict[Node, bool] = {}  # inputs; whether by rows

    def add_sums(self, sums: Sequence[Node]) -> None:
        self.sums = list(sums)
        for node in sums:
            rows = self.divider.sums[node]
            if not self.is_known(rows.index):
                self._make_or_take(rows.index)
            self._require(rows.source, by_rows=True)

    def add_outputs(self, outputs: Sequence[Node]) -> None:
        for node in outputs:
            if node not in self.outputs:
                self.outputs.append(node)
                self._require(node, by_rows=self.group is not None)

    def _make_or_take(self, index: Node) -> None:
        """Provides the value that names rows of a sum: one part makes it, all others take it, even
        if they could compute it again."""
        if self.divider.levels[index] == self.level and self.divider.groups[index] == self.group:
            self.add_outputs([index])
        else:
            self.taken[index] = True

    def needed(self) -> list[Node]:
        """What other parts have to make."""
        return [node for node in self.taken if node in self.divider.levels]

    def given(self) -> list[Node]:
        """Rows of edge lists that the part wants."""
        rows = [self.divider.sums[node].index for node in self.sums]
        return [node for node in [*self.taken, *rows] if self.divider.is_given(node)]

    def is_known(self, node: Node) -> bool:
        """Whether the runtime has a value without any part."""
        return node in self.divider.arguments or self.divider.is_given(node)

    def _require(self, node: Node, by_rows: bool) -> None:
        """Puts a node among those that are computed here, with what it takes, or that are taken."""
        stack = [(node, by_rows)]
        while stack:
            one, split = stack.pop()
            if one in self.computed or one in self.taken or self.divider.is_free(one):
                continue
            if not self._is_ours(one):
                self.taken[one] = split
                continue
            self.computed.add(one)
            for source in one.all_input_nodes:
                stack.append(
                    (source, self.group is not None and rowwise.has_rows(source, self.group))
                )

    def _is_ours(self, node: Node) -> bool:
        """Whether this part computes a node itself, and does not take it from another part.

        It does if the node has the part's level, and of earlier ones if it is cheap: reading a
        tensor of all edges costs more than computing a block of it again from what is at hand. Not
        if it is a sum, of which other blocks have a share, nor of other rows than the part's.
        """
        divider = self.divider
        if node not in divider.levels or node in divider.sums or exchanging.is_exchange(node):
            return False
        if divider.groups[node] != self.group:
            return False
        if divider.levels[node] == self.level:
            return True
        return self.group is not None and not rowwise.is_heavy(node) and node not in divider.kept

    def part(self, name: str) -> tuple[Part, GraphModule]:
        """The part, and the code of it."""
        writer = _Writer(self)
        for node in self.taken:
            writer.take(node)
        for node in self.divider.order:
            if node in self.computed:
                writer.copy(node)
        sources = [self.divider.sums[node].source for node in self.sums]
        results = tuple(writer.of(node) for node in [*self.outputs, *sources])
        writer.graph.output(results)
        split = self.group is not None
        zero = self._zero_rows(writer, results) if split else [{}] * len(results)
        outputs = [
            Output(self.divider.number(node), split, **known)
            for node, known in zip(self.outputs, zero, strict=False)
        ]
        for node, known in zip(self.sums, zero[len(outputs) :], strict=True):
            index = self.divider.number(self.divider.sums[node].index)
            outputs.append(Output(self.divider.number(node), added_at=index, **known))
        inputs = [self._input(node, writer) for node in writer.inputs]
        module = GraphModule(self.divider.module, writer.graph)
        return Part(name, self._block(), tuple(inputs), tuple(outputs)), module

    def _input(self, node: Node, writer: _Writer) -> Input:
        number = self.divider.number(node)
        if self.taken.get(node, False):
            return Input(number, split=True)
        if self.group is None or not self.divider.rings:
            return Input(number)
        indices = tails.read_by_index(writer.made[node])
        if indices is None:
            return Input(number)
        nodes = [one for one in writer.inputs if writer.made[one] in indices]
        return Input(number, rows_of=tuple(self.divider.number(one) for one in nodes))

    def _zero_rows(self, writer: _Writer, results: Sequence[Node]) -> list[dict[str, Any]]:
        """Of each result: where its rows are zero, as Output has it."""
        divider = self.divider
        originals = {writer.made[node]: node for node in writer.inputs}
        given = {
            made: divider.tails[node]
            for made, node in originals.items()
            if node in divider.tails and self.taken.get(node)
        }
        known = tails.known(writer.graph.nodes, given, self.group)
        answers: list[dict[str, Any]] = []
        for place, made in enumerate(results):
            same = known.get(made)
            if same is None or same.number != 0.0:
                answers.append({})
                continue
            because = [originals[one] for one in writer.made.values() if one in same.because]
            numbers: dict[float, tuple[int, ...]] = {
                number: tuple(divider.number(n) for n in because if divider.tails[n] == number)
                for number in (0.0, 1.0)
            }
            answers.append({"zero_where": numbers[0.0], "one_where": numbers[1.0]})
            if place < len(self.outputs):
                divider.tails[self.outputs[place]] = 0.0
        return answers

    def _block(self) -> int:
        if self.group is None:
            return 0
        widest = max([1, *map(rowwise.bytes_of_row, self.computed)])
        fitting = 1 << max(0, (_BLOCK_BYTES // widest).bit_length() - 1)
        return min(max(fitting, _SMALLEST_BLOCK), _LARGEST_BLOCK)


class _Writer:
    """Writes a part's graph."""

    def __init__(self, draft: _Draft) -> None:
        self.draft = draft
        self.divider = draft.divider
        self.graph = Graph()
        self.inputs: list[Node] = []
        self.made: dict[Node, Node] = {}
        self._last: Node | None = None

    def take(self, node: Node) -> Node:
        """The part's argument that stands for a node of the whole graph."""
        if node in self.made:
            return self.made[node]
        graph, last = self.graph, self._last
        # Arguments come first, in the order in which they turn out to be needed.
        with graph.inserting_before() if last is None else graph.inserting_after(last):
            self._last = self.graph.placeholder(f"v{self.divider.number(node)}")
        self._last.meta["val"] = node.meta["val"]
        self.inputs.append(node)
        self.made[node] = self._last
        return self._last

    def of(self, node: Node) -> Node:
        if node in self.made:
            return self.made[node]
        if self.divider.is_free(node):
            return self._free(node)
        raise KeyError(node)

    def copy(self, node: Node) -> Node:
        self.made[node] = self.graph.node_copy(node, self.of)
        return self.made[node]

    def _free(self, node: Node) -> Node:
        if node.op == "get_attr":
            made = self.graph.node_copy(node)
        elif tensor(node) is None:
            made = self._number(node)
        elif self.divider.is_filled(node):
            value = tensor(node)
            assert value is not None
            number = rowwise.filled_with(node)
            sizes = [self._size(size) for size in value.shape]
            made = self.graph.call_function(
                _aten.full.default,
                (sizes, number),
                {"dtype": value.dtype, "device": value.device, "pin_memory": False},
            )
            made.meta["val"] = value
        else:
            made = self.graph.node_copy(node, self.of)
        self.made[node] = made
        return made

    def _number(self, node: Node) -> Any:
        """A size, or what is calculated from sizes."""
        value = node.meta.get("val")
        if isinstance(value, (int, float, bool)):
            return value
        if isinstance(value, torch.SymInt) and value.node.expr.is_Symbol:
            return self._size(value)
        return self.graph.node_copy(node, self.of)

    def _size(self, size: Any) -> Any:
        if isinstance(size, int):
            return size
        symbol = size.node.expr
        if self.draft.group is not None and symbol == self.draft.group:
            place = (self.take(self._rows()), 0)
        else:
            if symbol not in self.divider.places:
                raise NotDivisibleError
            argument, axis = self.divider.places[symbol]
            place = (self.take(self.divider.arguments[argument]), axis)
        made = self.graph.call_function(_aten.sym_size.int, place)
        made.meta["val"] = size
        return made

    def _rows(self) -> Node:
        """An input by blocks, which tells how many rows there are."""
        taken = self.draft.taken
        rows = next((node for node in self.inputs if taken.get(node)), None)
        if rows is None:  # all that the part takes is the same for all rows
            divider = self.divider
            known = (node for node in divider.module.graph.nodes if self.draft.is_known(node))
            rows = next((n for n in known if rowwise.has_rows(n, self.draft.group)), None)
            if rows is None:
                raise NotDivisibleError
            taken[rows] = True
        return rows
