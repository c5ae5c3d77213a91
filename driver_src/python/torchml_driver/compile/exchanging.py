"""Records where a model exchanges features between ranks, so that a plan can do it there.

In Python, ``torch.ops.torchml.exchange`` does nothing, and would leave no trace.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.fx import Node

from .. import operators

_library = torch.library.Library("torchml_compile", "DEF")
_library.define("exchange_forward(Tensor rows) -> Tensor")
_library.define("exchange_backward(Tensor rows) -> Tensor")


def _copy(rows: torch.Tensor) -> torch.Tensor:
    return rows.clone(memory_format=torch.contiguous_format)


def _like(rows: torch.Tensor) -> torch.Tensor:
    return rows.new_empty(rows.shape)  # contiguous, as the engine returns them


for _name in ("exchange_forward", "exchange_backward"):
    _library.impl(_name, _copy, "CompositeExplicitAutograd")
    _library.impl(_name, _like, "Meta")

_forward = torch.ops.torchml_compile.exchange_forward.default
_backward = torch.ops.torchml_compile.exchange_backward.default


class _Exchange(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(_context: Any, rows: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = _forward(rows)
        return made

    @staticmethod
    def backward(_context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = _backward(gradients[0])
        return made


def recorded() -> AbstractContextManager[None]:
    """A context in which a model's exchanges, and their backward passes, appear in its trace."""
    return operators.exchange_replaced(_Exchange.apply)


def is_exchange(node: Node) -> bool:
    return node.target in (_forward, _backward)


def is_backward(node: Node) -> bool:
    return node.target is _backward


def any_in(module: torch.fx.GraphModule) -> bool:
    return any(is_exchange(node) for node in module.graph.nodes)
