"""Small TorchScript models that return their forces in every shape."""

from __future__ import annotations

import torch

from tests.support.graph_models import Messages
from tests.support.torch_models import SpringsWithForces


class ForcesReshaped(SpringsWithForces):
    """(energies, forces), the forces in any shape; -1 means the number of particles."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        row = torch.repeat_interleave(torch.arange(n_neigh.size(0)), n_neigh.long())
        owner = contributing.nonzero().view(-1).index_select(0, row)
        neighbour = nlist.long()
        delta = coords.index_select(0, neighbour) - coords.index_select(0, owner)
        r = (delta * delta).sum(1, keepdim=True).sqrt()
        pull = 0.5 * self.k * (r - self.r0) * delta / r
        forces = torch.zeros_like(coords).index_add(0, owner, pull).index_add(0, neighbour, -pull)
        return self.energies(coords, n_neigh, nlist, contributing), forces.view(self.shape)


class ForcesTransposed(ForcesReshaped):
    """Forces as [3, n]."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        return energies, torch.zeros_like(coords).t()


class ForcesOfContributing(ForcesReshaped):
    """Forces on contributing particles only."""

    def forward(self, species, coords, n_neigh, nlist, contributing):  # type: ignore[no-untyped-def]
        energies = self.energies(coords, n_neigh, nlist, contributing)
        mine = contributing.nonzero().view(-1)
        return energies, (coords * coords).index_select(0, mine).view(self.shape)


class ForcesOfMessages(Messages):
    """(energies, forces) of staged graphs, the forces in any shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        energies = self.of_edges(species, coords, edges, 0) * (1 - contributing)
        gradient = torch.autograd.grad([energies.sum()], [coords])[0]
        assert gradient is not None
        return energies, (-gradient).view(self.shape)


class FlatForcesOfMessages(ForcesOfMessages):
    """As [3 n], by autograd in Python, which can be compiled."""

    def __init__(self) -> None:
        super().__init__(-1)

    def forward(self, species, coords, graph_layer1, graph_layer2, graph_layer3, contributing):  # type: ignore[no-untyped-def]
        edges = [graph_layer1, graph_layer2, graph_layer3]
        variable = coords.detach().requires_grad_(True)
        with torch.enable_grad():
            energies = self.of_edges(species, variable, edges, 0) * (1 - contributing)
            (gradient,) = torch.autograd.grad(energies.sum(), variable)
        return energies.detach(), (-gradient).reshape(-1)
