"""Packing records the floating-point type of the inputs that a model expects."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import DriverEnvironment, run, torchml_install
from tests.support.structures import cluster
from tests.support.torch_models import SpringsHalf
from tests.support.type_models import (
    BufferBeside,
    Network,
    ScaledNetwork,
    ShortRanged,
    frozen,
    write_typed_model,
)
from torchml_installer.errors import BadOptionError
from torchml_installer.models.parameter_file import PRECISIONS

CUTOFF = 3.0
pytestmark = pytest.mark.usefixtures("in_collection")


def found(folder: Path, *options: str) -> Any:
    command = [sys.executable, "-m", "torchml_driver.precision", str(folder), "--json", *options]
    return json.loads(run(command))


@pytest.mark.parametrize(
    ("make", "precision", "working"),
    [
        (lambda: frozen(Network(torch.float32), "freeze"), "float32", ["float32"]),
        (lambda: frozen(Network(torch.bfloat16), "freeze"), "bfloat16", ["bfloat16"]),
        (lambda: ScaledNetwork(torch.float32), "float64", list(PRECISIONS)),
        (lambda: BufferBeside(), "float32", ["float32"]),
        (lambda: SpringsHalf(torch.float16), "float16", ["float16"]),
        (lambda: ShortRanged(), "float64", list(PRECISIONS)),  # zeros prove nothing
    ],
    ids=["frozen single", "frozen half", "mixed", "buffer", "half", "zeros"],
)
def test_the_type_of_a_models_inputs_is_found_by_evaluating_it(
    make: Any, precision: str, working: list[str], tmp_path: Path
) -> None:
    folder = write_typed_model(tmp_path, make(), "float64")  # the recorded type does not count
    finding = found(folder)
    assert finding["precision"] == precision
    trials = {trial["inputs"]: trial for trial in finding["trials"]}
    assert sorted(name for name, trial in trials.items() if not trial["problem"]) == sorted(working)
    assert trials[precision]["deviation"] == 0.0


def test_packing_records_the_type_of_the_inputs(
    driver_environment: DriverEnvironment, tmp_path: Path
) -> None:
    import torchml_driver

    (tmp_path / "model.pt").write_bytes(frozen(Network(torch.float32), "freeze"))
    command = ["model", "pack", "model.pt", "--elements", "Si", "--cutoff", str(CUTOFF), "--name"]

    def pack(*options: str) -> str:
        return torchml_install(*command, *options, env=driver_environment.env, cwd=tmp_path)

    assert "recorded as float32" in pack("Found")
    assert "precision float32" in (tmp_path / "Found/Found.param").read_text().splitlines()
    atoms = cluster()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = torchml_driver.Potential(tmp_path / "Found").compute(
            atoms.numbers, atoms.positions
        )
    assert np.isfinite(result.energy)
    pack("Said", "--precision", "float32")
    assert "precision float32" in (tmp_path / "Said/Said.param").read_text().splitlines()
    done = subprocess.run(
        [sys.executable, "-m", "torchml_installer", *command, "Wrong", "--precision", "float64"],
        env=dict(driver_environment.env),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == BadOptionError.exit_code
    assert "works with float32" in done.stderr
    assert not (tmp_path / "Wrong").exists()
