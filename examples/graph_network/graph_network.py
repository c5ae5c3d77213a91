"""A small message-passing network for interatomic energies, as a TorchScript-able module.

Continuous-filter convolutions as in SchNet (K. T. Schütt et al., J. Chem. Phys. 148, 241722,
2018), with a radial basis that vanishes smoothly at the cutoff (J. Gasteiger et al., ICLR 2020,
eq. 7 and 8), on staged graphs, so that message passing needs nothing from other MPI ranks.
"""

import math

import torch


class Convolution(torch.nn.Module):
    """One round of message passing: h_i <- h_i + f(sum_j W(r_ij) * h_j)."""

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.filter = torch.nn.Sequential(
            torch.nn.Linear(radial, features, bias=False),
            torch.nn.SiLU(),
            torch.nn.Linear(features, features, bias=False),
        )
        self.send = torch.nn.Linear(features, features, bias=False)
        self.receive = torch.nn.Sequential(
            torch.nn.Linear(features, features),
            torch.nn.SiLU(),
            torch.nn.Linear(features, features),
        )

    def forward(
        self, h: torch.Tensor, sender: torch.Tensor, receiver: torch.Tensor, basis: torch.Tensor
    ) -> torch.Tensor:
        message = self.filter(basis) * self.send(h).index_select(0, sender)
        total = torch.zeros_like(h).index_add(0, receiver, message)
        return h + self.receive(total)


class GraphNetwork(torch.nn.Module):
    """Energies of the contributing particles, eV.

    elements: how many elements it knows (species codes 0, 1, ...)
    cutoff: angstrom
    layers: rounds of message passing; a particle feels others within layers x cutoff
    """

    def __init__(
        self,
        elements: int = 1,
        cutoff: float = 4.5,
        layers: int = 3,
        features: int = 64,
        radial: int = 8,
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.embedding = torch.nn.Embedding(elements, features)
        self.convolutions = torch.nn.ModuleList(
            [Convolution(features, radial) for _ in range(layers)]
        )
        self.readout = torch.nn.Sequential(
            torch.nn.Linear(features, features), torch.nn.SiLU(), torch.nn.Linear(features, 1)
        )
        # Energies are fitted around a constant per atom and in units of a typical deviation.
        self.register_buffer("shift", torch.zeros(elements))
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("waves", math.pi / cutoff * torch.arange(1, radial + 1))

    def basis(self, vectors: torch.Tensor) -> torch.Tensor:
        """Radial basis of distances: [edges, radial]; zero, with two derivatives, at the cutoff."""
        r = vectors.square().sum(1, keepdim=True).sqrt()
        x = (r / self.cutoff).clamp(max=1.0)
        envelope = 1.0 + x * x * x * (x * (15.0 - 6.0 * x) - 10.0)
        return envelope * torch.sin(self.waves * r) / r

    def particle_energies(
        self, species: torch.Tensor, edges: list[torch.Tensor], vectors: list[torch.Tensor]
    ) -> torch.Tensor:
        """Energies of all particles: [n], eV.

        edges: per layer, int64 [2, edges], row 0 the receivers, row 1 the senders
        vectors: per layer, [edges, 3], from receiver to sender, angstrom
        """
        return self.energies_from_bases(species, edges, [self.basis(v) for v in vectors])

    def energies_from_bases(
        self, species: torch.Tensor, edges: list[torch.Tensor], bases: list[torch.Tensor]
    ) -> torch.Tensor:
        """As above, from the radial bases of the edges: per layer, [edges, radial]."""
        h = self.embedding(species)
        layer = len(edges)
        for convolution in self.convolutions:
            layer -= 1  # the largest graph first: what it reaches is complete for the next one
            receiver, sender = edges[layer][0], edges[layer][1]
            h = convolution(h, sender, receiver, bases[layer])
        return self.readout(h).squeeze(1) * self.scale + self.shift.index_select(0, species)

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        graph_layer1: torch.Tensor,
        graph_layer2: torch.Tensor,
        graph_layer3: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        """Energies [n], eV; zero for particles that do not contribute.

        contributing: int64 [n], 0 = contributing, 1 = not
        """
        edges = [graph_layer1, graph_layer2, graph_layer3]
        vectors = [
            coords.index_select(0, edge[1]) - coords.index_select(0, edge[0]) for edge in edges
        ]
        energies = self.particle_energies(species, edges, vectors)
        return energies * (1 - contributing)
