#pragma once

#include "inputs/inputs.hpp"

namespace torchml {

/// Staged-graph models: forward(species, coords, graph_layer1, ..., graph_layerN, contributing).
///
/// species int64 (n); coords (n, 3), Å; each layer an edge_index int64 (2, edges); contributing
/// int64 (n), **0 = contributing, 1 = not**: models use it as an index to scatter by.
///
/// Layer 1 has the pairs of contributing particles, layer k + 1 those of every particle that layer
/// k reaches. N rounds of message passing, the last layer first, therefore need nothing from other
/// MPI ranks but the particles within N cutoffs. Every pair appears in both directions, unless the
/// model needs only one (GraphSettings).
std::unique_ptr<Inputs> make_graph_inputs(double cutoff, int n_layers,
                                          const GraphSettings& settings, at::ScalarType scalar,
                                          bool rounded);

}  // namespace torchml
