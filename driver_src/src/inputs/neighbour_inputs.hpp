#pragma once

#include "inputs/inputs.hpp"

namespace torchml {

/// Neighbour-list models: forward(species, coords, n_neigh, nlist, contributing).
///
/// species int64 (n); coords (n, 3), Å; n_neigh int32 (n_contributing); nlist int32 (sum n_neigh);
/// contributing int64 (n), 1 = contributing. Only contributing particles have rows, in the order of
/// particles; a row holds the neighbours nearer than the cutoff.
std::unique_ptr<Inputs> make_neighbour_inputs(double cutoff, at::ScalarType scalar, bool rounded);

}  // namespace torchml
