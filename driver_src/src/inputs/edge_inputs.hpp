#pragma once

#include "inputs/inputs.hpp"

namespace torchml {

/// Calling convention 4: forward(species, edge_index, edge_vectors, contributing).
///
/// species int64 (n); edge_index int64 (2, E), row 0 the receivers i, row 1 the senders j, sorted
/// by receiver; edge_vectors (E, 3) r_j - r_i, Å; contributing int64 (n), 1 = its energy counts.
/// All layers of the model use the same graph.
///
/// Where a neighbour is an image, and its list says of which particle (Neighbours::shifts), the
/// edge comes from that particle: the graph has no images. Otherwise it has the particles within
/// n_layers cutoffs of contributing ones as nodes, and edges to all of them but the outermost.
///
/// The energy is differentiated with respect to the edge vectors. With g = ∂E/∂r_ij of each edge,
/// the force on i is the sum of g of its edges, that on j minus this, and the virial Σ r_ij g; the
/// part of an edge belongs to its receiver.
std::unique_ptr<Inputs> make_edge_inputs(double cutoff, int n_layers, at::ScalarType scalar);

}  // namespace torchml
