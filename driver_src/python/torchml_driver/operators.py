"""Defines ``torch.ops.torchml.exchange``, which models on edges call between their layers.

>>> import torch
>>> import torchml_driver.operators
>>> torch.ops.torchml.exchange(torch.ones(2, 3)).shape
torch.Size([2, 3])

Import this module before ``torch.jit.script``, and where the model runs outside the driver. Here
the operator is the identity: a periodic graph in Python has no other ranks. In the driver, on
several MPI ranks, it fills the rows of the nodes that other ranks own; its backward pass adds their
gradients up there. Once in a process: importing it again does nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

#: Kept, since the operator goes with it.
_library: torch.library.Library | None = None
#: What the operator does in place of nothing.
_replacement: Callable[[torch.Tensor], torch.Tensor] | None = None


def _exchange(features: torch.Tensor) -> torch.Tensor:
    return features if _replacement is None else _replacement(features)


@contextlib.contextmanager
def exchange_replaced(by: Callable[[torch.Tensor], torch.Tensor] | None) -> Iterator[None]:
    """A context in which the operator calls a function, for `model compile`, which records it."""
    global _replacement
    before, _replacement = _replacement, by
    try:
        yield
    finally:
        _replacement = before


if not hasattr(torch.ops.torchml, "exchange"):
    _library = torch.library.Library("torchml", "FRAGMENT")
    _library.define("exchange(Tensor(a) features) -> Tensor(a)")
    _library.impl("exchange", _exchange, "CompositeImplicitAutograd")
