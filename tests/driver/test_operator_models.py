"""Model files that call torch_scatter's and torch_sparse's operators, in the driver."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from tests.support.operator_models import (
    dense_potential,
    edit_code,
    portable_model,
    silicon,
)
from tests.support.our_operators import namespaces


@pytest.fixture(scope="module")
def driver(request: pytest.FixtureRequest) -> ModuleType:
    """The Python module, built first if the suite builds it."""
    with contextlib.suppress(pytest.FixtureLookupError):
        request.getfixturevalue("driver_environment")
    return importlib.import_module("torchml_driver")


@pytest.fixture(autouse=True)
def defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KIM_MODEL_OPERATORS", "KIM_MODEL_TORCH_EXTENSIONS"):
        monkeypatch.delenv(name, raising=False)


def load(driver: ModuleType, model: Path, folder: Path) -> object:
    return driver.Potential(portable_model(model, folder))


def test_a_sparse_tensor_model_runs_without_torch_sparse(
    sparse_tensor_model: Path, driver: ModuleType, tmp_path: Path
) -> None:
    potential = driver.Potential(portable_model(sparse_tensor_model, tmp_path))
    for seed in range(3):
        positions = silicon(seed)
        result = potential.compute(["Si"] * len(positions), positions)
        energy, forces = dense_potential(sparse_tensor_model, positions)
        assert result.energy == pytest.approx(energy, abs=1e-11)
        np.testing.assert_allclose(result.forces, forces, rtol=0, atol=1e-12)


def test_a_sparse_tensor_model_runs_where_nothing_is_bonded(
    sparse_tensor_model: Path, driver: ModuleType, tmp_path: Path
) -> None:
    potential = driver.Potential(portable_model(sparse_tensor_model, tmp_path))
    result = potential.compute(["Si", "Si"], [[0.0, 0, 0], [9.0, 0, 0]])
    assert result.energy == 0.0
    assert not result.forces.any()


def test_the_originals_names_stay_free(
    sparse_tensor_model: Path, driver: ModuleType, tmp_path: Path
) -> None:
    program = (
        "import sys, torch, torchml_driver\n"
        "torchml_driver.Potential(sys.argv[1])\n"
        "for name in ('torch_scatter', 'torch_sparse'):\n"
        "    names = torch._C._dispatch_get_all_op_names()\n"
        "    print([one for one in names if one.startswith(name + '::')])\n"
    )
    folder = portable_model(sparse_tensor_model, tmp_path)
    parent = Path(driver.__file__).parents[1]
    paths = [str(parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    output = subprocess.run(
        [sys.executable, "-c", program, folder], env=env, check=True, capture_output=True, text=True
    ).stdout
    assert output.split() == ["[]", "[]"]


class Named(torch.nn.Module):
    """A submodule with an attribute called torch_scatter."""

    def __init__(self) -> None:
        super().__init__()
        self.torch_scatter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))


class Disguises(torch.nn.Module):
    """Names in code that are not operators, next to one that is."""

    def __init__(self, operator: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> None:
        super().__init__()
        self.ops = Named()
        self.ops_torch_scatter = 0.5
        self.operator = operator

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        note = "'ops.torch_scatter.scatter_max(' \\ \" # ops.torch_scatter.scatter_max("
        if len(note) + len("ops.torch_scatter.scatter_max(") == 0:
            return coords
        torch_scatter = self.ops.torch_scatter * self.ops_torch_scatter
        largest = self.operator(coords, species * 0, 0, None, 1)[0]
        return (largest * torch_scatter).sum()


def test_only_calls_of_operators_are_redirected(driver: ModuleType, tmp_path: Path) -> None:
    ours = namespaces()["scatter"]
    scripted = torch.jit.script(Disguises(getattr(torch.ops, ours).scatter_max))
    torch.jit.save(scripted, tmp_path / "ours.pt")
    counts: list[int] = []

    def original(code: str) -> str:
        edited, count = re.subn(rf"\b{ours}\b", "torch_scatter", code)
        counts.append(count)
        return edited

    model = edit_code(tmp_path / "ours.pt", tmp_path / "model.pt", original)
    assert sum(counts) == 1
    positions = silicon()
    result = driver.Potential(portable_model(model, tmp_path / "model")).compute(
        ["Si"] * len(positions), positions
    )
    assert result.energy == pytest.approx(0.5 * positions.max(axis=0).sum(), abs=1e-12)
    assert result.forces.sum() == pytest.approx(-1.5)


def test_operators_that_nobody_has_are_named_with_both_ways_out(
    sparse_tensor_model: Path, driver: ModuleType, tmp_path: Path
) -> None:
    def unknown(code: str) -> str:
        code = code.replace("ops.torch_sparse.ind2ptr(", "ops.torch_sparse.saint_subgraph(")
        return code.replace("ops.torch_scatter.scatter_max(", "ops.lab_operators.best(")

    model = edit_code(sparse_tensor_model, tmp_path / "model.pt", unknown)
    with pytest.raises(driver.Error) as raised:
        load(driver, model, tmp_path / "model")
    message = str(raised.value)
    assert "spmm_sum" not in message
    for part in (
        "torch_sparse::saint_subgraph",
        "lab_operators::best",
        "KIM_MODEL_OPERATORS=extension",
        "KIM_MODEL_TORCH_EXTENSIONS",
    ):
        assert part in message


def test_other_libraries_operators_are_not_looked_for_in_torch_scatter(
    sparse_tensor_model: Path, driver: ModuleType, tmp_path: Path
) -> None:
    model = edit_code(
        sparse_tensor_model,
        tmp_path / "model.pt",
        lambda code: code.replace("ops.torch_scatter.scatter_max(", "ops.torch_cluster.radius("),
    )
    with pytest.raises(
        driver.Error, match=r"torch_cluster::radius.*KIM_MODEL_TORCH_EXTENSIONS"
    ) as e:
        load(driver, model, tmp_path / "model")
    assert "KIM_MODEL_OPERATORS" not in str(e.value)


def test_unknown_settings_are_named(
    sparse_tensor_model: Path, driver: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIM_MODEL_OPERATORS", "originals")
    with pytest.raises(driver.Error, match=r"'originals'.*'native'.*'extension'"):
        load(driver, sparse_tensor_model, tmp_path)
    for value in ("", " ", " Native "):
        monkeypatch.setenv("KIM_MODEL_OPERATORS", value)
        load(driver, sparse_tensor_model, tmp_path)


def test_extension_says_what_the_driver_was_built_without(
    sparse_tensor_model: Path, driver: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if {"TorchScatter_ROOT", "TorchSparse_ROOT"} & set(os.environ):
        pytest.skip("the driver was built with the original libraries")
    monkeypatch.setenv("KIM_MODEL_OPERATORS", "extension")
    with pytest.raises(driver.Error, match=r"built without.*TorchScatter_ROOT"):
        load(driver, sparse_tensor_model, tmp_path)


def test_listed_libraries_that_cannot_be_opened_are_named(
    sparse_tensor_model: Path, driver: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, broken = tmp_path / "libmissing.so", tmp_path / "libbroken.so"
    broken.write_text("no library\n")
    for path, reason in ((missing, "does not exist"), (broken, "invalid ELF header|too short")):
        monkeypatch.setenv("KIM_MODEL_TORCH_EXTENSIONS", f":{path}:")
        with pytest.raises(driver.Error, match=rf"KIM_MODEL_TORCH_EXTENSIONS.*{path}.*({reason})"):
            load(driver, sparse_tensor_model, tmp_path / "model")
