"""The operator by which ranks send each other features between the layers of a model."""

from __future__ import annotations

import contextlib
import importlib

import torch


def can_exchange() -> bool:
    """Whether this driver has ``torch.ops.torchml.exchange``."""
    with contextlib.suppress(ImportError):
        importlib.import_module("torchml_driver.operators")
    return hasattr(torch.ops.torchml, "exchange")
