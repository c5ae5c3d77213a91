"""Graphs of bonds and angles, made of a model's edges by operations that TorchScript has.

A bond is a pair of edges that lead from i to j and back. Where a driver's graph ends, the edge back
is missing: particles there only send.
"""

from __future__ import annotations

import torch


def bond_of_edge(
    edge_index: torch.Tensor, edge_vectors: torch.Tensor, n: int, tolerance: float = 0.01
) -> torch.Tensor:
    """The number of each edge's bond, (E,) int64, counted from 0 in the order of their first edges.

    edge_index: (2, E) int64, receivers and senders. edge_vectors: (E, 3) Å, from receiver to
    sender. n: the number of particles. tolerance: Å. An edge and its reverse differ by rounding,
    those to two images of a particle by a vector of the cell.
    """
    edges = edge_index.size(1)
    everyone = torch.arange(edges, device=edge_index.device)
    pair = edge_index[0] * n + edge_index[1]
    wanted = edge_index[1] * n + edge_index[0]
    # The edges back from j to i, one for each image: few, side by side after sorting.
    in_order, order = torch.sort(pair)
    first = torch.searchsorted(in_order, wanted)
    counts = torch.searchsorted(in_order, wanted, right=True) - first
    edge = torch.repeat_interleave(everyone, counts)
    begin = torch.cumsum(counts, 0) - counts
    place = torch.arange(edge.size(0), device=edge.device) - begin[edge] + first[edge]
    back = order[place]
    vectors = edge_vectors.detach()
    same = (vectors[edge] + vectors[back]).square().sum(1) < tolerance**2
    edge, back = edge[same], back[same]
    leader = everyone.scatter(0, edge, torch.minimum(edge, back))
    is_leader = (leader == everyone).to(torch.int64)
    return (torch.cumsum(is_leader, 0) - 1)[leader]


def angles(
    receivers: torch.Tensor, short: torch.Tensor, n: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """All ordered pairs of different short edges of the same receiver: two (A,) int64, the edges.

    receivers: (E,) int64, sorted. short: (E,) bool, which edges count. n: the number of particles.
    """
    chosen = short.nonzero().squeeze(1)
    own = receivers[chosen]
    counts = torch.zeros(n, dtype=torch.int64, device=own.device)
    counts = counts.index_add(0, own, torch.ones_like(own))
    first = torch.cumsum(counts, 0) - counts
    partners = counts[own]
    one = torch.repeat_interleave(torch.arange(own.size(0), device=own.device), partners)
    begin = torch.cumsum(partners, 0) - partners
    other = torch.arange(one.size(0), device=own.device) - begin[one] + first[own[one]]
    different = one != other
    return chosen[one[different]], chosen[other[different]]
