"""A small equivariant network for interatomic energies on edges, as a TorchScript-able module.

Atoms have scalar features and vectors, which turn with the system: the message and update blocks
of PaiNN (K. T. Schütt, O. T. Unke and M. Gastegger, ICML 2021, arXiv:2102.03150, fig. 2). Here an
update sees the squares of vectors instead of their lengths, which have no gradient at zero. The
radial basis vanishes smoothly at the cutoff (J. Gasteiger et al., ICLR 2020, eq. 7 and 8).
"""

import math

import torch
import torchml_driver.operators  # noqa: F401 (defines torch.ops.torchml.exchange)
from torch import Tensor, nn


class Block(nn.Module):
    """A round of messages, then an update of each atom by its own features."""

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        wide = 3 * features
        self.filter = nn.Linear(radial, wide, bias=False)
        self.send = nn.Sequential(
            nn.Linear(features, features), nn.SiLU(), nn.Linear(features, wide)
        )
        self.mix = nn.Linear(features, 2 * features, bias=False)
        self.update = nn.Sequential(
            nn.Linear(2 * features, features), nn.SiLU(), nn.Linear(features, wide)
        )

    def forward(
        self, s: Tensor, v: Tensor, receiver: Tensor, sender: Tensor, basis: Tensor, unit: Tensor
    ) -> tuple[Tensor, Tensor]:
        """s: [n, features]; v: [n, 3, features]; basis: [edges, radial]; unit: [edges, 3]."""
        message = self.filter(basis) * self.send(s).index_select(0, sender)
        to_s, by_v, by_unit = message.unsqueeze(1).chunk(3, dim=2)
        to_v = by_v * v.index_select(0, sender) + by_unit * unit.unsqueeze(2)
        s = s + torch.zeros_like(s).index_add(0, receiver, to_s.squeeze(1))
        v = v + torch.zeros_like(v).index_add(0, receiver, to_v)
        # Scalars change by what no rotation changes, vectors by multiples of vectors.
        left, right = self.mix(v).chunk(2, dim=2)
        scalars = torch.cat([s, right.square().sum(1)], dim=1)
        add, by_product, by_left = self.update(scalars).chunk(3, dim=1)
        return s + add + by_product * (left * right).sum(1), v + by_left.unsqueeze(1) * left


class EdgeNetwork(nn.Module):
    """Energies of particles, eV.

    elements: how many elements it knows (species codes 0, 1, ...)
    cutoff: angstrom
    layers: rounds of message passing; a particle feels others within layers x cutoff
    """

    def __init__(
        self,
        elements: int = 1,
        cutoff: float = 4.5,
        layers: int = 2,
        features: int = 32,
        radial: int = 8,
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.embedding = nn.Embedding(elements, features)
        self.blocks = nn.ModuleList([Block(features, radial) for _ in range(layers)])
        self.readout = nn.Sequential(
            nn.Linear(features, features), nn.SiLU(), nn.Linear(features, 1)
        )
        # Energies are fitted around a constant for each atom.
        self.register_buffer("shift", torch.zeros(elements))
        self.register_buffer("waves", math.pi / cutoff * torch.arange(1, radial + 1))

    def forward(
        self, species: Tensor, edge_index: Tensor, edge_vectors: Tensor, contributing: Tensor
    ) -> Tensor:
        """Energies [n], eV; zero for particles that do not contribute.

        edge_index: int64 [2, edges], row 0 the receivers, row 1 the senders
        edge_vectors: [edges, 3], from receiver to sender, angstrom
        contributing: int64 [n], 1 = contributing, 0 = not
        """
        receiver, sender = edge_index[0], edge_index[1]
        r = edge_vectors.square().sum(1, keepdim=True).sqrt()
        x = (r / self.cutoff).clamp(max=1.0)
        envelope = 1.0 + x * x * x * (x * (15.0 - 6.0 * x) - 10.0)
        basis = envelope * torch.sin(self.waves * r) / r
        s = self.embedding(species)
        v = torch.zeros_like(s).unsqueeze(1).repeat(1, 3, 1)
        for k, block in enumerate(self.blocks):
            if k > 0:  # on several MPI ranks, those that own the other nodes send their features
                s, v = torch.ops.torchml.exchange(s), torch.ops.torchml.exchange(v)
            s, v = block(s, v, receiver, sender, basis, edge_vectors / r)
        energies = self.readout(s).squeeze(1) + self.shift.index_select(0, species)
        return energies * contributing
