"""Stillinger-Weber silicon as a TorchScript-able module on neighbour lists.

Formula: F. H. Stillinger and T. A. Weber, "Computer simulation of local order in condensed phases
of silicon", Phys. Rev. B 31, 5262 (1985), equations (2.3) to (2.6).  The numbers below are that
paper's, with the energy unit of KIM's SW_StillingerWeber_1985_Si__MO_405512056662_005, so that
the two may be compared to rounding: A epsilon = 7.049556277 x 2.1682 eV, lambda epsilon =
21 x 2.1682 eV, gamma sigma = 1.2 x 2.0951 angstrom, a sigma = 1.8 x 2.0951 angstrom.

    E   = 1/2 sum_i sum_j   phi2(r_ij)  +  sum_i sum_j sum_k>j  phi3(r_ij, r_ik, theta_jik)
    phi2 = A [B (sigma/r)^4 - 1] exp(sigma / (r - r_c))
    phi3 = lambda (cos theta + 1/3)^2 exp(gamma / (r_ij - r_c) + gamma / (r_ik - r_c))

Both phi2 and phi3, with all their derivatives, vanish at the cutoff.
"""

from typing import Final

import torch

ELEMENTS = ["Si"]
CUTOFF = 3.77118  # angstrom


class StillingerWeber(torch.nn.Module):
    """Energies of the contributing particles, eV."""

    A: Final[float]
    B: Final[float]
    sigma: Final[float]
    lam: Final[float]
    gamma: Final[float]
    cos0: Final[float]
    cutoff: Final[float]

    def __init__(self) -> None:
        super().__init__()
        self.A = 15.2848479197914  # eV
        self.B = 0.6022245584
        self.sigma = 2.0951  # angstrom
        self.lam = 45.5322  # eV
        self.gamma = 2.51412  # angstrom
        self.cos0 = -1.0 / 3.0
        self.cutoff = CUTOFF

    def forward(
        self,
        species: torch.Tensor,
        coords: torch.Tensor,
        n_neigh: torch.Tensor,
        nlist: torch.Tensor,
        contributing: torch.Tensor,
    ) -> torch.Tensor:
        """Energy of each contributing particle: [n_contributing], eV, in particle order.

        species: int64 [n], not used, for there is only silicon
        coords: [n, 3], angstrom; n counts periodic images and ghosts
        n_neigh: int32 [n_contributing], neighbours of each contributing particle
        nlist: int32 [sum(n_neigh)], indices into all n particles
        contributing: int64 [n], 1 = contributing, 0 = not
        """
        rows = torch.arange(n_neigh.size(0), device=coords.device)
        owners = contributing.nonzero().view(-1)

        # Which listed pairs are within the cutoff? Outside autograd, since simulators list many
        # that are not. What is kept has r < cutoff strictly: exp(sigma / (r - cutoff)) and its
        # gradient are finite there, and nothing has to be repaired after a division by zero.
        xyz = coords.t().contiguous()  # [3, n]: sums over components then run along memory
        where = xyz.detach()
        row = torch.repeat_interleave(rows, n_neigh.long())
        i = owners.index_select(0, row)
        j = nlist.long()
        delta = where.index_select(1, j) - where.index_select(1, i)
        kept = ((delta * delta).sum(0).sqrt() < self.cutoff).nonzero().view(-1)
        row = row.index_select(0, kept)
        i = i.index_select(0, kept)
        j = j.index_select(0, kept)

        delta = xyz.index_select(1, j) - xyz.index_select(1, i)
        r = (delta * delta).sum(0).sqrt()
        inverse_gap = 1.0 / (r - self.cutoff)
        s = self.sigma / r
        s2 = s * s
        phi2 = (self.A * (self.B * s2 * s2 - 1.0)) * torch.exp(self.sigma * inverse_gap)

        # Pairs are sorted by their row, so the triplets of a row are, for each pair p, p with
        # every later pair q of the same row: sum n (n - 1) / 2 of them.
        n_pairs = row.size(0)
        pairs = torch.arange(n_pairs, device=coords.device)
        row_end = torch.bincount(row, minlength=rows.size(0)).cumsum(0)
        n_later = row_end.index_select(0, row) - pairs - 1
        p = torch.repeat_interleave(pairs, n_later)
        first = n_later.cumsum(0) - n_later  # of each pair, its first triplet
        q = torch.arange(p.size(0), device=coords.device) - first.index_select(0, p) + p + 1

        direction = delta / r
        g = torch.exp(self.gamma * inverse_gap)
        cosine = (direction.index_select(1, p) * direction.index_select(1, q)).sum(0)
        bend = cosine - self.cos0
        phi3 = self.lam * g.index_select(0, p) * g.index_select(0, q) * bend * bend

        energies = torch.zeros(rows.size(0), dtype=coords.dtype, device=coords.device)
        energies = energies.index_add(0, row, 0.5 * phi2)
        return energies.index_add(0, row.index_select(0, p), phi3)
