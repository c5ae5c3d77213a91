"""A small message-passing potential that uses PyG's SparseTensor throughout.

Calling convention 1; random weights; one element. Importing it requires torch_scatter and
torch_sparse, or their Python halves (see make_sparse_tensor_model.py).
"""

from __future__ import annotations

import math

import torch
import torch_sparse
from torch_scatter import scatter_max
from torch_sparse import SparseTensor, matmul

CUTOFF = 4.0  # Å
WIDTH = 8


class SparsePotential(torch.nn.Module):
    """Two rounds of messages over one sparse matrix of bond strengths.

    tests/support/operator_models.py computes the same with dense matrices. Particles that do not
    contribute send no messages, as calling convention 1 has no bonds for them: this is a potential
    for clusters.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)

        def weights(*sizes: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(
                torch.randn(sizes, generator=generator, dtype=torch.float64) / math.sqrt(sizes[-1])
            )

        self.embedding = weights(WIDTH)
        self.first = weights(3 * WIDTH, WIDTH)
        self.second = weights(WIDTH, WIDTH)
        self.readout = weights(WIDTH)
        self.cutoff = CUTOFF
        self.label = "silicon"

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        n = coords.size(0)
        centres = torch.nonzero(contributing).view(-1)
        row = torch.repeat_interleave(centres, n_neigh.to(torch.int64))
        col = nlist.to(torch.int64)
        distance = torch.linalg.vector_norm(coords[col] - coords[row], dim=1)
        strength = 0.5 * (1.0 + torch.cos(math.pi * distance / self.cutoff))
        bonds = SparseTensor(
            row=row,
            rowptr=None,
            col=col,
            value=strength,
            sparse_sizes=(n, n),
            is_sorted=False,
            trust_data=False,
        )
        density = torch_sparse.sum(bonds, dim=1)
        hidden = torch.tanh(density.unsqueeze(1) * self.embedding)
        messages = torch.cat(
            [
                matmul(bonds, hidden, reduce="sum"),
                matmul(bonds, hidden, reduce="mean"),
                matmul(bonds, hidden, reduce="max"),
            ],
            dim=1,
        )
        hidden = torch.tanh(messages.matmul(self.first))
        looped = torch_sparse.fill_diag(bonds, 0.5)
        hidden = torch.tanh(matmul(looped, hidden, reduce="sum").matmul(self.second))
        strongest = scatter_max(strength, row, dim=0, dim_size=n)[0]
        energies = (hidden * self.readout).sum(dim=1) - strongest
        # Text that only looks like an operator, to catch tools that rewrite code.
        if self.label == "it's ops.torch_scatter.scatter_max(\"":
            energies = energies * 0.0
        return energies * contributing.to(energies.dtype)
