"""The engine gives out a model's inputs as tensors: the arguments that a simulation passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.edge_models import Directional, write_edge_model
from tests.support.graph_models import CUTOFF, LAYERS, Messages, write_graph_model
from tests.support.torch_models import Springs, write_model

pytestmark = pytest.mark.usefixtures("driver_environment")


def arrays(n: int = 40, own: int = 25) -> tuple[np.ndarray, ...]:
    """A cluster, with neighbour lists 10 % beyond the cutoff."""
    random = np.random.default_rng(7)
    points = np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = (points[:n] + random.uniform(-0.1, 0.1, (n, 3))) * 0.6 * CUTOFF
    near = np.linalg.norm(points[:, None] - points[None, :], axis=2) < 1.1 * CUTOFF
    np.fill_diagonal(near, False)
    contributing = (np.arange(n) < own).astype(int)
    return np.zeros(n, dtype=int), points, contributing, near.sum(1), near.nonzero()[1]


@pytest.mark.parametrize("pattern", ["neighbours", "graph"])
def test_a_model_called_with_them_gives_the_potentials_energy(pattern: str, tmp_path: Path) -> None:
    from torchml_driver import Potential
    from torchml_driver.inputs import System, calling_convention, model_inputs

    layers = LAYERS if pattern == "graph" else 1
    module: Any = Messages() if pattern == "graph" else Springs()
    write: Any = write_graph_model if pattern == "graph" else write_model
    kind: dict[str, Any] = {} if pattern == "graph" else {"cutoff": CUTOFF}
    potential = Potential(write(tmp_path / "model", module, **kind))
    system = arrays()
    result = potential.compute_particles(*system)
    inputs = model_inputs(pattern, System(*system), cutoff=CUTOFF, layers=layers)
    names, differentiable = calling_convention(pattern, layers)
    assert tuple(inputs) == names
    coordinates = inputs[names[differentiable]].requires_grad_(True)
    energy = module(*inputs.values()).sum()
    assert energy.item() == pytest.approx(result.energy, rel=1e-12)
    (gradient,) = torch.autograd.grad(energy, coordinates)
    np.testing.assert_allclose(-gradient.numpy(), result.forces, rtol=0, atol=1e-11)


def test_a_model_on_edges_is_given_staged_ones(tmp_path: Path) -> None:
    from torchml_driver import Potential
    from torchml_driver.inputs import System, calling_convention, model_inputs

    module = Directional()
    potential = Potential(write_edge_model(tmp_path / "model", module))
    system = arrays()
    result = potential.compute_particles(*system)
    inputs = model_inputs("edges", System(*system), cutoff=CUTOFF, layers=LAYERS)
    names, differentiable = calling_convention("edges", LAYERS)
    assert tuple(inputs) == names == ("species", "edge_index", "edge_vectors", "contributing")
    vectors = inputs[names[differentiable]].requires_grad_(True)
    energy = module(*inputs.values()).sum()
    assert energy.item() == pytest.approx(result.energy, rel=1e-12)
    (gradient,) = torch.autograd.grad(energy, vectors)
    assert gradient.shape == vectors.shape
    virial = vectors.detach().T @ gradient
    np.testing.assert_allclose(virial.diagonal(), result.virial[:3], rtol=0, atol=1e-10)


def test_what_makes_no_sense_is_refused() -> None:
    from torchml_driver import Error
    from torchml_driver.inputs import System, model_inputs

    species, points, contributing, n_neigh, nlist = arrays()
    with pytest.raises(Error, match="must be 'neighbours', 'graph' or 'edges', not 'descri"):
        model_inputs("descriptor", System(*arrays()), cutoff=CUTOFF)
    with pytest.raises(Error, match="floating-point type, not int64"):
        model_inputs("neighbours", System(*arrays()), cutoff=CUTOFF, dtype=torch.int64)
    wrong = System(species, points, contributing, n_neigh, nlist[:-1])
    with pytest.raises(Error, match="must be that of species, "):
        model_inputs("neighbours", wrong, cutoff=CUTOFF)
    wrong = System(species, points, contributing, n_neigh, nlist + 1000)
    with pytest.raises(Error, match="neighbour"):
        model_inputs("neighbours", wrong, cutoff=CUTOFF)


def test_tensors_outlive_what_they_were_made_of() -> None:
    from torchml_driver.inputs import System, model_inputs

    kept = [model_inputs("graph", System(*arrays()), cutoff=CUTOFF) for _ in range(3)]
    for one in kept[1:]:
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, kept[0][name], rtol=0, atol=0)
