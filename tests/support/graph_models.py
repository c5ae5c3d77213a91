"""Small TorchScript models of calling convention 3: message passing over three staged graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from tests.support.torch_models import torchscript

CUTOFF = 3.0  # angstrom
LAYERS = 3


class Messages(torch.nn.Module):
    """Three rounds of messages, smooth in the distance and zero at the cutoff.

    Cheap, with a few numbers per particle: enough that every pair of every layer matters.
    """

    def __init__(self, elements: int = 1) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(5)
        self.start = torch.nn.Parameter(
            torch.rand(elements, 4, generator=random, dtype=torch.float64) + 0.5
        )
        self.mix = torch.nn.Parameter(
            torch.rand(3, 4, 4, generator=random, dtype=torch.float64) - 0.3
        )
        self.cutoff = CUTOFF

    def particle_energies(
        self,
        species: torch.Tensor,
        receivers: list[torch.Tensor],
        senders: list[torch.Tensor],
        vectors: list[torch.Tensor],
    ) -> torch.Tensor:
        """Energies of all particles: [n]. Per layer: receivers, senders, displacements."""
        h = self.start.index_select(0, species)
        for k in range(3):
            layer = 2 - k  # the largest first
            x = (vectors[layer] * vectors[layer]).sum(1, keepdim=True) / self.cutoff**2
            weight = (1.0 - x).clamp(min=0.0) ** 3
            message = weight * torch.matmul(h.index_select(0, senders[layer]), self.mix[k])
            h = h + torch.tanh(torch.zeros_like(h).index_add(0, receivers[layer], message))
        return (h * h).sum(1)

    def of_edges(
        self, species: torch.Tensor, coords: torch.Tensor, edges: list[torch.Tensor], receiver: int
    ) -> torch.Tensor:
        receivers = [edge[receiver] for edge in edges]
        senders = [edge[1 - receiver] for edge in edges]
        vectors = [
            coords.index_select(0, senders[k]) - coords.index_select(0, receivers[k])
            for k in range(len(edges))
        ]
        return self.particle_energies(species, receivers, senders, vectors)

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        graph_layer1: torch.Tensor,
        graph_layer2: torch.Tensor,
        graph_layer3: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        """[n]: zero for particles that do not contribute (contributing is 0 for those that do)."""
        edges = [graph_layer1, graph_layer2, graph_layer3]
        return self.of_edges(species, coords, edges, 0) * (1 - contributing)


class MessagesToSecondRow(Messages):
    """The receivers are in the second row of edge_index, as in PyTorch Geometric."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        return self.of_edges(species, coords, edges, 1) * (1 - contributing)


class MessagesSummedByScattering(Messages):
    """A scalar, summed as such models do: with `contributing` as the index of a scatter."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(species, coords, edges, 0)
        return torch.zeros(2, dtype=coords.dtype).index_add(0, contributing, energies)[0]


class MessagesWithForces(Messages):
    """(energies, forces) with the forces by autograd inside the model."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(species, coords, edges, 0) * (1 - contributing)
        gradient = torch.autograd.grad([energies.sum()], [coords])[0]
        assert gradient is not None
        return energies, -gradient


class DividesBySpecies(Messages):
    """Made for atomic numbers: nan if all species codes are 0."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(0 * species, coords, edges, 0) * (1 - contributing)
        return energies * (species / species.max())


class CountsParticles(Messages):
    """Depends on how many particles there are, used or not."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        scale = 1.0 + 0.001 * coords.size(0)
        return scale * self.of_edges(species, coords, edges, 0) * (1 - contributing)


class FiveLayers(Messages):
    """Five rounds of messages; with the receivers in the second row."""

    def forward(  # type: ignore[no-untyped-def]
        self, species, coords, layer1, layer2, layer3, layer4, layer5, contributing
    ):
        h = self.start.index_select(0, species)
        for edge in [layer5, layer4, layer3, layer2, layer1]:
            h = self.messages(h, coords, edge[0], edge[1])
        return (h * h).sum(1) * (1 - contributing)

    def messages(
        self, h: torch.Tensor, coords: torch.Tensor, sender: torch.Tensor, receiver: torch.Tensor
    ) -> torch.Tensor:
        way = coords.index_select(0, sender) - coords.index_select(0, receiver)
        weight = (1.0 - (way * way).sum(1, keepdim=True) / self.cutoff**2).clamp(min=0.0) ** 3
        message = weight * torch.matmul(h.index_select(0, sender), self.mix[0])
        return h + torch.tanh(torch.zeros_like(h).index_add(0, receiver, message))


class FiveLayersWithTheLargestBothWays(FiveLayers):
    """Weights the largest layer's messages by those that the sender receives: all edges matter."""

    def forward(  # type: ignore[no-untyped-def]
        self, species, coords, layer1, layer2, layer3, layer4, layer5, contributing
    ):
        h = self.start.index_select(0, species)
        h = self.messages(
            self.messages(h, coords, layer5[1], layer5[0]), coords, layer5[0], layer5[1]
        )
        for edge in [layer4, layer3, layer2, layer1]:
            h = self.messages(h, coords, edge[0], edge[1])
        return (h * h).sum(1) * (1 - contributing)


class Breaks(Messages):
    """Fails for every system."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        return coords @ coords


class NeedsAGpu(Messages):
    """Has a device in its code."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        return (coords * torch.ones(3, device="cuda:7", dtype=coords.dtype)).sum(1)


class FailsWithoutEdges(Messages):
    """Takes the maximum over its edges, as many models do implicitly."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(species, coords, edges, 0) * (1 - contributing)
        last = graph_layer1.max() + graph_layer2.max() + graph_layer3.max()
        return energies + 0 * last


class FailsWithoutEdgesOnce(FailsWithoutEdges):
    """The sum of its energies."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(species, coords, edges, 0) * (1 - contributing)
        return energies.sum() + 0 * graph_layer1.max()


class FailsWithoutEdgesWithForces(Messages):
    """(energies, forces)"""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(species, coords, edges, 0) * (1 - contributing)
        gradient = torch.autograd.grad([energies.sum()], [coords])[0]
        assert gradient is not None
        return energies + 0 * graph_layer1.max(), -gradient


class EveryonesEnergies(Messages):
    """Also of ghosts: [n], or their sum."""

    def __init__(self, summed: bool) -> None:
        super().__init__()
        self.summed = summed

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(species, coords, edges, 0)
        return energies.sum() if self.summed else energies


class FailsOnOneRank(Messages):
    """Fails for particles beyond x = 15 Å."""

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        if (coords[:, 0] * (1 - contributing)).max() > 15.0:
            raise RuntimeError("this model fails beyond 15")
        return self.of_edges(species, coords, edges, 0) * (1 - contributing)


class Probe(torch.nn.Module):
    """Reports the graphs themselves: one number per particle, returned as its energy.

    what: "first", "second": how often the particle occurs in that row of the layer's edge_index;
    "twice": how many edges occur there more than once; "beyond": how many are longer than the
    cutoff; "mark": the model's argument `contributing`.
    """

    def __init__(self, layer: int, what: str) -> None:
        super().__init__()
        self.layer = layer
        self.what = what
        self.cutoff = CUTOFF

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        graph_layer1: torch.Tensor,
        graph_layer2: torch.Tensor,
        graph_layer3: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        edge = [graph_layer1, graph_layer2, graph_layer3][self.layer - 1]
        result = torch.zeros(coords.size(0), dtype=coords.dtype) + 0.0 * coords.sum()
        one = torch.ones(edge.size(1), dtype=coords.dtype)
        if self.what == "first":
            return result.index_add(0, edge[0], one)
        if self.what == "second":
            return result.index_add(0, edge[1], one)
        if self.what == "twice":
            keys = edge[0] * coords.size(0) + edge[1]
            return result + float(edge.size(1) - torch.unique(keys).size(0))
        if self.what == "beyond":
            way = coords.index_select(0, edge[0]) - coords.index_select(0, edge[1])
            return result + ((way * way).sum(1).sqrt() >= self.cutoff).sum()
        return result + contributing


def on_a_plain_graph(
    model: Messages, atoms: Atoms, elements: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """(particle energies, forces) from the model itself: one periodic graph for all layers, without
    images, stages or the driver."""
    first, second, shifts = neighbor_list("ijS", atoms, CUTOFF)
    coords = torch.tensor(atoms.positions, requires_grad=True)
    offsets = torch.tensor(shifts @ atoms.cell.array)
    receiver, sender = torch.tensor(first), torch.tensor(second)
    vectors = coords[sender] + offsets - coords[receiver]
    species = torch.tensor([elements.index(name) for name in atoms.get_chemical_symbols()])
    energies = model.particle_energies(
        species, [receiver] * LAYERS, [sender] * LAYERS, [vectors] * LAYERS
    )
    (gradient,) = torch.autograd.grad(energies.sum(), coords, allow_unused=True)
    forces = np.zeros((len(atoms), 3)) if gradient is None else -gradient.numpy()
    return energies.detach().numpy(), forces


def graph_parameters(
    model_file: str,
    *,
    elements: str = "Si",
    cutoff: float = CUTOFF,
    layers: int | str = LAYERS,
    returns_forces: bool = False,
    settings: str = "",
) -> str:
    return (
        f"{len(elements.split())}\n{elements}\nGraph\n{cutoff}\n{layers}\n{model_file}\n"
        f"{returns_forces}\n6\nNone\n{settings}\n"
    )


def write_graph_model(folder: Path, module: torch.nn.Module, **parameters: object) -> Path:
    """Makes a portable-model folder without KIM's build files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt").write_bytes(torchscript(module))
    text = graph_parameters("model.pt", **parameters)  # type: ignore[arg-type]
    (folder / "model.param").write_text(text)
    return folder
