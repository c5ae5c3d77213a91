"""Lets ranks send each other features between the layers of libraries' models."""

from __future__ import annotations

import torch

from .. import operators  # noqa: F401 (defines torch.ops.torchml.exchange)


class ExchangeEntry(torch.nn.Module):  # type: ignore[misc]
    """For models whose layers hand on a dictionary: fills one entry's rows of other ranks' atoms,
    which the next layer is about to read.

    key: of the entry. ``ghost_included`` is an argument of NequIP's own exchange; not used.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def forward(
        self, data: dict[str, torch.Tensor], ghost_included: bool = False
    ) -> dict[str, torch.Tensor]:
        data[self.key] = torch.ops.torchml.exchange(data[self.key])
        return data
