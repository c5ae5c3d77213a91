"""The examples in the docstrings of torchml_driver run, and print what the docstrings show."""

from __future__ import annotations

import doctest
import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from tests.support import ROOT, DriverEnvironment
from tests.support.descriptor_cases import descriptor_file
from tests.support.graph_models import Messages

PACKAGE = ROOT / "driver_src/python/torchml_driver"
#: The modules with examples.
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def particles() -> dict[str, Any]:
    """A system for a graph model, in the names that the example uses."""
    positions = bulk("Si", cubic=True).positions
    n = len(positions)
    others = [[j for j in range(n) if j != i] for i in range(n)]
    return {
        "codes": [0] * n,
        "coordinates": positions,
        "contributing": [1] * n,
        "n_neigh": [n - 1] * n,
        "nlist": np.concatenate(others),
    }


def rattled() -> Atoms:
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=3)
    return atoms


def names(module: str) -> dict[str, Any]:
    """What a module's examples assume that their reader has."""
    if module == "torchml_driver.inputs":
        return {**particles(), "model": Messages()}
    if module == "torchml_driver.descriptors":
        torch.manual_seed(5)
        network = torch.nn.Linear(51, 1, dtype=torch.float64)
        return {"atoms": rattled(), "network": network}
    return {"atoms": rattled()}


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_run(
    module: str, in_collection: DriverEnvironment, tmp_path: Path
) -> None:
    shutil.copytree(in_collection.packed, tmp_path / "my_model")
    shutil.copy(descriptor_file("set51_two"), tmp_path / "descriptor.dat")
    failed, tried = doctest.testmod(
        importlib.import_module(module),
        extraglobs=names(module),
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert tried > 0
    assert failed == 0
