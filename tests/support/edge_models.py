"""Small TorchScript models of calling convention 4: message passing over the vectors of edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from tests.support import exchange_operator
from tests.support.graph_models import graph_parameters
from tests.support.torch_models import torchscript

exchange_operator.define()

CUTOFF = 3.0  # angstrom
LAYERS = 3
ELEMENTS = ("Si", "C")


class Continuous(torch.nn.Module):
    """Continuous-filter convolutions, as SchNet has them; smooth in the distance, zero at the
    cutoff. One energy for each node, zero where it does not contribute."""

    def __init__(self, elements: int = 2, layers: int = LAYERS, dtype: Any = torch.float64) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(12)

        def weights(*sizes: int) -> torch.nn.Parameter:
            values = torch.rand(*sizes, generator=random, dtype=torch.float64) - 0.4
            return torch.nn.Parameter(values.to(dtype))

        self.start = weights(elements, 6)
        self.filters = weights(layers, 4, 6)
        self.mix = weights(layers, 6, 6)
        self.layers = layers
        self.cutoff = CUTOFF

    def energies(
        self, species: torch.Tensor, edge_index: torch.Tensor, edge_vectors: torch.Tensor
    ) -> torch.Tensor:
        h = self.start.index_select(0, species)
        x = (edge_vectors * edge_vectors).sum(1, keepdim=True) / self.cutoff**2
        switch = (1.0 - x).clamp(min=0.0) ** 3
        basis = switch * torch.cat([torch.ones_like(x), x, x * x, torch.cos(4.0 * x)], 1)
        for k in range(self.layers):
            message = (
                torch.matmul(basis, self.filters[k]) * torch.matmul(h, self.mix[k])[edge_index[1]]
            )
            h = h + torch.tanh(torch.zeros_like(h).index_add(0, edge_index[0], message))
        return (h * h).sum(1)

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        return self.energies(species, edge_index, edge_vectors) * contributing


class Directional(Continuous):
    """Looks at directions, too, by vectors that nodes have and hand on: one node's part of the
    virial need not be symmetric."""

    def energies(
        self, species: torch.Tensor, edge_index: torch.Tensor, edge_vectors: torch.Tensor
    ) -> torch.Tensor:
        h = self.start.index_select(0, species)
        x = (edge_vectors * edge_vectors).sum(1, keepdim=True) / self.cutoff**2
        switch = (1.0 - x).clamp(min=0.0) ** 3
        vectors = torch.zeros_like(h).unsqueeze(2) * edge_vectors.new_zeros(1, 1, 3)
        for k in range(self.layers):
            weight = switch * torch.matmul(h, self.mix[k])[edge_index[1]]
            ways = weight.unsqueeze(2) * edge_vectors.unsqueeze(1)
            vectors = vectors + torch.zeros_like(vectors).index_add(
                0, edge_index[0], ways + 0.3 * switch.unsqueeze(2) * vectors[edge_index[1]]
            )
            h = h + torch.tanh((vectors * vectors).sum(2))
        return (h * h).sum(1)


class Exchanging(Directional):
    """The same function; has the features of other ranks' nodes sent between its layers.

    forgets: the number of layers before which it does not.
    """

    def __init__(
        self, elements: int = 2, layers: int = LAYERS, dtype: Any = torch.float64, forgets: int = 1
    ) -> None:
        super().__init__(elements, layers, dtype)
        self.forgets = forgets

    def energies(
        self, species: torch.Tensor, edge_index: torch.Tensor, edge_vectors: torch.Tensor
    ) -> torch.Tensor:
        h = self.start.index_select(0, species)
        x = (edge_vectors * edge_vectors).sum(1, keepdim=True) / self.cutoff**2
        switch = (1.0 - x).clamp(min=0.0) ** 3
        vectors = torch.zeros_like(h).unsqueeze(2) * edge_vectors.new_zeros(1, 1, 3)
        for k in range(self.layers):
            if k >= self.forgets:
                h = torch.ops.torchml.exchange(h)
                vectors = torch.ops.torchml.exchange(vectors)
            weight = switch * torch.matmul(h, self.mix[k])[edge_index[1]]
            ways = weight.unsqueeze(2) * edge_vectors.unsqueeze(1)
            vectors = vectors + torch.zeros_like(vectors).index_add(
                0, edge_index[0], ways + 0.3 * switch.unsqueeze(2) * vectors[edge_index[1]]
            )
            h = h + torch.tanh((vectors * vectors).sum(2))
        return (h * h).sum(1)


class Summed(Continuous):
    """One energy for all."""

    def forward(self, species, edge_index, edge_vectors, contributing):  # type: ignore[no-untyped-def]
        return (self.energies(species, edge_index, edge_vectors) * contributing).sum()


class FailsWithoutEdges(Directional):
    """Takes the maximum over its edges, as many models do implicitly."""

    def forward(self, species, edge_index, edge_vectors, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(species, edge_index, edge_vectors) * contributing
        return energies + 0 * edge_index.max() + 0 * edge_vectors.abs().max()


class WithEdgeGradient(Directional):
    """(energies, their gradient with respect to edge_vectors)."""

    def forward(self, species, edge_index, edge_vectors, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(species, edge_index, edge_vectors) * contributing
        gradient = torch.autograd.grad([energies.sum()], [edge_vectors])[0]
        assert gradient is not None
        return energies, gradient


class WithForces(Directional):
    """(energies, forces on all nodes)."""

    def forward(self, species, edge_index, edge_vectors, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(species, edge_index, edge_vectors) * contributing
        gradient = torch.autograd.grad([energies.sum()], [edge_vectors])[0]
        assert gradient is not None
        forces = torch.zeros(species.size(0), 3, dtype=gradient.dtype)
        forces = forces.index_add(0, edge_index[0], gradient)
        return energies, forces.index_add(0, edge_index[1], -gradient)


class PairsWithEdgeGradient(torch.nn.Module):
    """(energies, their gradient with respect to edge_vectors) of pairs, without autograd."""

    def energies(
        self, species: torch.Tensor, edge_index: torch.Tensor, edge_vectors: torch.Tensor
    ) -> torch.Tensor:
        x = (edge_vectors * edge_vectors).sum(1) / CUTOFF**2
        strength = 1.0 + species[edge_index[0]] + 2.0 * species[edge_index[1]]
        energies = strength * (1.0 - x).clamp(min=0.0) ** 3
        zeros = torch.zeros(species.size(0), dtype=energies.dtype)
        return zeros.index_add(0, edge_index[0], energies)

    def forward(self, species, edge_index, edge_vectors, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(species, edge_index, edge_vectors) * contributing
        x = (edge_vectors * edge_vectors).sum(1) / CUTOFF**2
        strength = 1.0 + species[edge_index[0]] + 2.0 * species[edge_index[1]]
        slope = -6.0 / CUTOFF**2 * strength * (1.0 - x).clamp(min=0.0) ** 2
        slope = slope * contributing[edge_index[0]]
        return energies, slope.unsqueeze(1) * edge_vectors


class Edges(torch.nn.Module):
    """Tells about the graph itself: one number per node, given as its energy.

    what: "received", "sent": how many edges of the node; "unsorted": how often a receiver comes
    before the one before it; "beyond": how many edges are longer than the cutoff; "mark": the
    `contributing` that the model is given; "nodes": their number.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.cutoff = CUTOFF

    def forward(
        self,
        species: torch.Tensor,
        edge_index: torch.Tensor,
        edge_vectors: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        dtype = edge_vectors.dtype
        result = torch.zeros(species.size(0), dtype=dtype) + 0.0 * edge_vectors.sum()
        one = torch.ones(edge_index.size(1), dtype=dtype)
        if self.what == "received":
            return result.index_add(0, edge_index[0], one)
        if self.what == "sent":
            return result.index_add(0, edge_index[1], one)
        if self.what == "unsorted":
            return result + (edge_index[0][1:] < edge_index[0][:-1]).sum()
        if self.what == "beyond":
            return result + ((edge_vectors * edge_vectors).sum(1).sqrt() >= self.cutoff).sum()
        if self.what == "nodes":
            return result + species.size(0)
        return result + contributing


@dataclass
class Expected:
    """What a model itself gives: energy eV, forces (n, 3), virial (6,), those of particles."""

    energy: float
    particle_energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray
    particle_virials: np.ndarray


def on_a_periodic_graph(
    model: Any, atoms: Atoms, elements: Sequence[str] = ELEMENTS, dtype: Any = torch.float64
) -> Expected:
    """By ASE's neighbour list and autograd: an edge from an image is one from its atom.

    Forces by coordinates. A particle's part of the virial by a strain of the edges it receives.
    """
    n = len(atoms)
    first, second, shifts = neighbor_list("ijS", atoms, CUTOFF)
    positions = torch.tensor(atoms.positions, requires_grad=True)
    strains = torch.zeros(n, 3, 3, dtype=torch.float64, requires_grad=True)
    receiver, sender = torch.tensor(first), torch.tensor(second)
    ways = positions[sender] - positions[receiver] + torch.tensor(shifts @ atoms.cell.array)
    symmetric = (strains + strains.transpose(1, 2)) / 2
    ways = ways + torch.einsum("ea,eab->eb", ways, symmetric[receiver])
    species = torch.tensor([elements.index(name) for name in atoms.get_chemical_symbols()])
    energies = model.energies(species, torch.stack([receiver, sender]), ways.to(dtype)).double()
    energy = energies.sum() + 0.0 * (positions.sum() + strains.sum())
    gradient, by_strain = torch.autograd.grad(energy, (positions, strains))
    parts = by_strain.numpy()[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return Expected(
        energies.sum().item(), energies.detach().numpy(), -gradient.numpy(), parts.sum(0), parts
    )


def edge_parameters(model_file: str, *, elements: str = "Si C", **others: Any) -> str:
    others = {"cutoff": CUTOFF, "layers": LAYERS, **others}
    text = graph_parameters(model_file, elements=elements, **others)
    return text.replace("\nGraph\n", "\nEdges\n").replace("\n6\nNone\n", "\n4\nNone\n")


def write_edge_model(folder: Path, module: torch.nn.Module, **parameters: Any) -> Path:
    """A portable-model folder without what KIM needs to build it; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt").write_bytes(torchscript(module))
    (folder / "model.param").write_text(edge_parameters("model.pt", **parameters))
    return folder
