"""Moves operations from a part to an earlier one, where less has to be kept for them in memory.

Parts compute everything as late as possible. For most, that is best. But what each layer of a model
adds to the gradient by edge vectors is used at the very end: there, the last part would compute all
layers again, from tensors of edges that each layer had at hand. Where a part can do more with what
it has, and hands on narrower tensors than it would otherwise, operations move there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.fx import Node

from . import rowwise


def moved(
    order: list[Node],
    levels: dict[Node, int],
    groups: Mapping[Node, Any],
    stays: Callable[[Node], bool],
    apart: Callable[[Node, Node], bool],
) -> set[Node]:
    """Raises the levels of operations that move. Returns those whose results are then kept: later
    parts take them and do not compute them again.

    order: the operations, as they run. levels: of each, counted from the end. groups: the symbol of
    its rows. stays: whether one may not move. apart(node, user): whether they are never in one
    part.
    """
    kept: set[Node] = set()
    rows = [group for group in dict.fromkeys(groups.values()) if group is not None]
    for group in rows:
        known = sorted({levels[node] for node in order if groups[node] == group})
        for level in known:
            for earlier in reversed([one for one in known if one > level]):
                part = [n for n in order if levels[n] == level and groups[n] == group]
                can = _able(part, earlier, levels, stays, apart)
                if not can:
                    continue
                ends = [node for node in can if not can.issuperset(_users(node, levels))]
                without = [node for node in part if node not in can]
                reads = _Reads(group, level, levels, groups, kept)
                spared = reads.of(can) - reads.of(without)
                if _width(ends) < _width(spared):
                    levels.update(dict.fromkeys(can, earlier))
                    kept.update(ends)
    return kept


def _able(
    part: list[Node],
    earlier: int,
    levels: Mapping[Node, int],
    stays: Callable[[Node], bool],
    apart: Callable[[Node, Node], bool],
) -> set[Node]:
    """Those operations of a part for which everything is there at an earlier level."""
    can: set[Node] = set()
    for node in part:
        if stays(node):
            continue
        if all(
            one in can or levels[one] - apart(one, node) >= earlier
            for one in node.all_input_nodes
            if one in levels
        ):
            can.add(node)
    return can


def _users(node: Node, levels: Mapping[Node, int]) -> list[Node | None]:
    """The operations that need a node; None for the model's results."""
    return [user if user in levels else None for user in node.users]


class _Reads:
    """What a part reads from memory for some of its operations: the results of other parts that it
    does not compute again."""

    def __init__(
        self,
        group: Any,
        level: int,
        levels: Mapping[Node, int],
        groups: Mapping[Node, Any],
        kept: set[Node],
    ) -> None:
        self.group, self.level, self.levels = group, level, levels
        self.groups, self.kept = groups, kept
        self._known: dict[Node, frozenset[Node]] = {}

    def of(self, nodes: Iterable[Node]) -> set[Node]:
        found: set[Node] = set()
        for node in nodes:
            for one in node.all_input_nodes:
                found |= self._behind(one)
        return found

    def _behind(self, node: Node) -> frozenset[Node]:
        if node not in self.levels:
            return frozenset({node} if node.op == "placeholder" else ())
        if self.levels[node] == self.level and self.groups[node] == self.group:
            return frozenset()
        if self.groups[node] != self.group or rowwise.is_heavy(node) or node in self.kept:
            return frozenset({node})
        if node not in self._known:
            self._known[node] = frozenset().union(*map(self._behind, node.all_input_nodes))
        return self._known[node]


def _width(nodes: Iterable[Node]) -> int:
    """Bytes in a row of all these tensors."""
    return sum(map(rowwise.bytes_of_row, nodes))
