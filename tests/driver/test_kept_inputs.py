"""A model that keeps its inputs finds them unchanged after later calls."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from tests.support.descriptor_cases import descriptor_file
from tests.support.descriptor_models import write_descriptor_model
from tests.support.edge_models import write_edge_model
from tests.support.graph_models import CUTOFF, write_graph_model
from tests.support.structures import cluster
from tests.support.torch_models import write_model

pytestmark = [pytest.mark.usefixtures("driver_environment"), pytest.mark.sanitize]


class KeepsParticles(torch.nn.Module):
    """Its energy is the sum of all numbers in its previous inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.species = torch.zeros(0, dtype=torch.int64)
        self.coords = torch.zeros(0, dtype=torch.float64)
        self.n_neigh = torch.zeros(0, dtype=torch.int32)
        self.nlist = torch.zeros(0, dtype=torch.int32)

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        energy = self.coords.sum() + self.species.sum() + self.n_neigh.sum() + self.nlist.sum()
        self.species = species
        self.coords = coords.detach()
        self.n_neigh = n_neigh
        self.nlist = nlist
        return energy + 0.0 * coords.sum()


class KeepsGraph(torch.nn.Module):
    """The same, of a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.coords = torch.zeros(0, dtype=torch.float64)
        self.edges = torch.zeros(0, dtype=torch.int64)

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        graph_layer1: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        energy = self.coords.sum() + self.edges.sum()
        self.coords = coords.detach()
        self.edges = graph_layer1
        return energy + 0.0 * coords.sum()


class KeepsEdges(torch.nn.Module):
    """The same, of edges."""

    def __init__(self) -> None:
        super().__init__()
        self.species = torch.zeros(0, dtype=torch.int64)
        self.edge_index = torch.zeros(0, dtype=torch.int64)
        self.edge_vectors = torch.zeros(0, 3, dtype=torch.float64)
        self.contributing = torch.zeros(0, dtype=torch.int64)

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        energy = self.edge_vectors.square().sum() + self.edge_index.sum() + self.species.sum()
        energy = energy + self.contributing.sum()
        self.species = species
        self.edge_index = edge_index
        self.edge_vectors = edge_vectors.detach()
        self.contributing = contributing
        return energy + 0.0 * edge_vectors.sum()


class KeepsDescriptor(torch.nn.Module):
    """The same, of descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(0, dtype=torch.float64)

    def forward(self, descriptor: torch.Tensor) -> torch.Tensor:
        energy = self.kept.sum()
        self.kept = descriptor.detach()
        return energy + 0.0 * descriptor.sum()


def systems() -> list[Atoms]:
    """With the same number of particles, many more, and fewer."""
    first = cluster()
    moved = first.copy()
    moved.rattle(0.1, seed=9)
    many = first.copy()
    for k in range(1, 60):
        more = first.copy()
        more.positions += [0.0, 0.0, 30.0 * k]
        many += more
    return [first, moved, many, first, moved[: len(moved) // 2], many]


def pairs(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    near = atoms.get_all_distances() < CUTOFF
    np.fill_diagonal(near, False)
    first, second = near.nonzero()
    return first, second


def of_particles(atoms: Atoms) -> float:
    first, second = pairs(atoms)
    return float(atoms.positions.sum() + len(first) + second.sum())


def of_graph(atoms: Atoms) -> float:
    first, second = pairs(atoms)
    return float(atoms.positions.sum() + first.sum() + second.sum())


def of_edges(atoms: Atoms) -> float:
    first, second = pairs(atoms)
    vectors = atoms.positions[second] - atoms.positions[first]
    return float(np.square(vectors).sum() + first.sum() + second.sum() + len(atoms))


def of_descriptor(atoms: Atoms) -> float:
    module = importlib.import_module("torchml_driver.descriptors")
    return float(module.Descriptor(descriptor_file("every_kind"), ["Si"]).values(atoms).sum())


@pytest.mark.parametrize("kind", ["particles", "graph", "edges", "descriptor"])
def test_what_a_model_keeps_of_its_inputs_stays_as_it_was(kind: str, tmp_path: Path) -> None:
    total: Any
    if kind == "particles":
        folder, total = write_model(tmp_path, KeepsParticles(), cutoff=CUTOFF), of_particles
    elif kind == "graph":
        folder, total = write_graph_model(tmp_path, KeepsGraph(), layers=1), of_graph
    elif kind == "edges":
        folder, total = write_edge_model(tmp_path, KeepsEdges()), of_edges
    else:
        folder = write_descriptor_model(tmp_path, KeepsDescriptor(), "every_kind")
        total = of_descriptor
    potential = importlib.import_module("torchml_driver").Potential(folder)
    found = [
        float(potential.compute(atoms.get_chemical_symbols(), atoms.positions).energy)
        for atoms in systems()
    ]
    expected = [0.0, *(total(atoms) for atoms in systems()[:-1])]
    assert found == pytest.approx(expected, rel=1e-10)
