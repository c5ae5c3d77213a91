"""Defines torch.ops.torchml.exchange without the driver's Python module, which may not be built."""

from __future__ import annotations

import importlib.util

from tests.support import ROOT


def define() -> None:
    source = ROOT / "driver_src" / "python" / "torchml_driver" / "operators.py"
    spec = importlib.util.spec_from_file_location("operators", source)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
