"""The example network, and its own Python's results for a structure, without the driver."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "graph_network"
CUTOFF, LAYERS = 4.5, 3


def example_network() -> Any:
    """Not trained: its results mean nothing, but depend on every pair of every layer."""
    spec = importlib.util.spec_from_file_location("graph_network", EXAMPLE / "graph_network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # TorchScript needs the source of the classes
    spec.loader.exec_module(module)
    torch.manual_seed(3)
    return module.GraphNetwork(cutoff=CUTOFF, layers=LAYERS, features=16).double().eval()


def directly(network: Any, atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (n, 3) (eV/angstrom): one periodic graph for all layers."""
    first, second, shifts = neighbor_list("ijS", atoms, CUTOFF)
    coords = torch.tensor(atoms.positions, requires_grad=True)
    edge = torch.tensor(np.stack([first, second]))
    vectors = coords[edge[1]] - coords[edge[0]] + torch.tensor(shifts @ atoms.cell.array)
    species = torch.zeros(len(atoms), dtype=torch.int64)
    energy = network.particle_energies(species, [edge] * LAYERS, [vectors] * LAYERS).sum()
    (gradient,) = torch.autograd.grad(energy, coords)
    return energy.item(), -gradient.numpy()
