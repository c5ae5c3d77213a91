"""The driver together with the original torch_scatter and torch_sparse, compiled from PyPI."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import KEPT, ROOT, DriverEnvironment
from tests.support.keeping import locked
from tests.support.operator_models import dense_potential, portable_model, silicon
from tests.support.structures import (
    ENERGY_TOLERANCE,
    EXAMPLE_MODEL,
    FORCE_TOLERANCE,
    REFERENCE_MODEL,
)

pytestmark = pytest.mark.slow

SETTINGS = ("KIM_MODEL_OPERATORS", "KIM_MODEL_TORCH_EXTENSIONS")

# Computes the model in argv[1]; each test adds code before and after it.
PROGRAM = """
import json, sys
import numpy as np
{before}
import torchml_driver
from tests.support.operator_models import silicon
positions = silicon()
result = torchml_driver.Potential(sys.argv[1]).compute(["Si"] * len(positions), positions)
{after}
print(json.dumps([result.energy, result.forces.tolist()]))
"""
USE = """
import torch, torch_scatter, torch_sparse
values = torch.arange(4.0)
assert torch_scatter.scatter_max(values, torch.tensor([0, 0, 1, 1]))[0].tolist() == [1.0, 3.0]
matrix = torch_sparse.SparseTensor(row=torch.tensor([0, 1]), col=torch.tensor([1, 0]))
assert (matrix @ torch.ones(2, 1)).tolist() == [[1.0], [1.0]]
"""
ALREADY_THERE = "import torch, torch_scatter, torch_sparse"
NO_SECOND_COPY = """
names = [line.split("/")[-1] for line in open("/proc/self/maps") if "_scatter_cpu" in line]
assert len(set(names)) == 1
assert "libtorchscatter" not in open("/proc/self/maps").read()
"""

#: ASE, through KIM-API and kimpy: our model and the published one.
THROUGH_KIM = """
import json, sys
{before}
import numpy as np
from ase.build import bulk
from ase.calculators.kim import KIM
found = []
for name in sys.argv[1:]:
    atoms = bulk("Si", cubic=True) * 2
    atoms.rattle(0.05, seed=1)
    atoms.calc = KIM(name)
    found.append([atoms.get_potential_energy(), atoms.get_forces().tolist()])
np.linalg.inv(np.random.default_rng(1).random((300, 300)))  # numpy's own threads, too
{after}
print(json.dumps(found))
"""


@pytest.fixture(scope="session")
def originals() -> Path:
    """A folder with both packages for this Python and this torch; compiling them takes 15 minutes.

    It is kept, and the wheels too: pip would otherwise use them for any torch.
    """
    version = f"{torch.__version__}-py{sys.version_info.major}.{sys.version_info.minor}"
    cache = KEPT / f"operators-{version}"
    packages = cache / "packages"
    done = cache / "done"
    with locked(cache):
        if done.exists():
            return packages
        for requirement in ("torch-scatter==2.1.2", "torch-sparse==0.6.18"):
            # --no-binary: an index's wheel may be for another torch.
            command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
            command += ["--upgrade", "--cache-dir", str(cache / "pip"), "--target", str(packages)]
            library = requirement.split("==")[0]
            subprocess.run([*command, "--no-binary", library, requirement], check=True)
        done.touch()
    return packages


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, originals: Path) -> dict[str, str]:
    """A process that can import both the driver's module and the originals."""
    with contextlib.suppress(pytest.FixtureLookupError):
        request.getfixturevalue("driver_environment")
    driver = Path(importlib.import_module("torchml_driver").__file__ or "").parents[1]
    env = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    env["PYTHONPATH"] = os.pathsep.join(map(str, (driver, ROOT, originals)))
    return env


def python(env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=env, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_right(sparse_tensor_model: Path, output: str) -> None:
    energy, forces = json.loads(output)
    expected_energy, expected_forces = dense_potential(sparse_tensor_model, silicon())
    assert energy == pytest.approx(expected_energy, abs=1e-11)
    np.testing.assert_allclose(forces, expected_forces, rtol=0, atol=1e-12)


def test_operators_equal_the_originals_in_values_and_gradients(environment: dict[str, str]) -> None:
    assert int(python(environment, "-m", "tests.support.original_operators")) > 200


@pytest.mark.parametrize(
    ("before", "after", "operators"),
    [
        (USE, USE, "native"),
        ("", USE, "native"),
        (ALREADY_THERE, USE + NO_SECOND_COPY, "extension"),
    ],
    ids=["imported before", "imported after", "imported before and used by the model"],
)
def test_the_originals_live_in_the_same_process(
    sparse_tensor_model: Path,
    before: str,
    after: str,
    operators: str,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    folder = portable_model(sparse_tensor_model, tmp_path)
    env = {**environment, "KIM_MODEL_OPERATORS": operators}
    program = PROGRAM.format(before=before, after=after)
    assert_right(sparse_tensor_model, python(env, "-c", program, str(folder)))


@pytest.mark.parametrize(
    ("before", "after"), [(USE, USE), ("", USE)], ids=["imported before", "imported after"]
)
def test_ase_computes_through_kim_beside_the_originals(
    before: str, after: str, environment: dict[str, str], in_collection: DriverEnvironment
) -> None:
    program = THROUGH_KIM.format(before=before, after=after)
    env = {**environment, **in_collection.env}
    ours, published = json.loads(python(env, "-c", program, EXAMPLE_MODEL, REFERENCE_MODEL))
    assert ours[0] == pytest.approx(published[0], abs=ENERGY_TOLERANCE)
    np.testing.assert_allclose(ours[1], published[1], rtol=0, atol=FORCE_TOLERANCE)


def test_listed_libraries_give_a_model_the_original_operators(
    sparse_tensor_model: Path, environment: dict[str, str], originals: Path, tmp_path: Path
) -> None:
    folder = portable_model(sparse_tensor_model, tmp_path)
    libraries = [*originals.glob("torch_scatter/*.so"), *originals.glob("torch_sparse/*.so")]
    env = {
        **environment,
        "KIM_MODEL_OPERATORS": "extension",
        "KIM_MODEL_TORCH_EXTENSIONS": ":".join(map(str, libraries)),
    }
    program = PROGRAM.format(before="", after=USE)
    assert_right(sparse_tensor_model, python(env, "-c", program, str(folder)))


def test_the_model_file_gives_the_same_through_torch_itself(
    sparse_tensor_model: Path, environment: dict[str, str]
) -> None:
    program = """
import sys, json, torch, torch_scatter, torch_sparse
from tests.support.operator_models import CUTOFF, silicon
model = torch.jit.load(sys.argv[1])
positions = torch.tensor(silicon(), requires_grad=True)
distance = torch.cdist(positions.detach(), positions.detach()) + 10 * torch.eye(len(positions))
row, col = torch.nonzero(distance < CUTOFF, as_tuple=True)
counts = torch.bincount(row, minlength=len(positions)).int()
ones = torch.ones(len(positions), dtype=torch.int64)
energy = model(0 * ones, positions, counts, col.int(), ones).sum()
forces = -torch.autograd.grad(energy, positions)[0]
print(json.dumps([energy.item(), forces.tolist()]))
"""
    assert_right(sparse_tensor_model, python(environment, "-c", program, str(sparse_tensor_model)))
