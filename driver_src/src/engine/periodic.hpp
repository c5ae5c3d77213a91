#pragma once

#include <cstdint>
#include <vector>

#include "base/system.hpp"

namespace torchml {

/// Pairs of a periodic system, as neighbour-list libraries give them: the first atom of a pair has
/// as neighbour the image of the second that is `shifts` cells away. Full: both directions.
struct PeriodicPairs {
    std::int64_t n_pairs = 0;
    const std::int64_t* atoms = nullptr;   ///< (n_pairs, 2)
    const std::int32_t* shifts = nullptr;  ///< (n_pairs, 3)
};

/// A periodic system spelt out as simulators do it: the atoms, which contribute, then their
/// periodic images within reach, which do not.
struct UnfoldedSystem {
    std::int64_t n_atoms = 0;
    std::vector<std::int64_t> owner;  ///< (n) the atom that each particle is an image of
    std::vector<int> species;         ///< (n)
    std::vector<double> coordinates;  ///< (n, 3) Å
    std::vector<int> contributing;    ///< (n)
    NeighbourLists neighbours;        ///< of all particles but the outermost images

    System view() const;
};

/// Unfolds `n_atoms` atoms. `cell`: (3, 3) rows are the cell's vectors, Å. `depth`: how many hops
/// from an atom there are neighbour lists: 1 for the atoms' own, N for N rounds of message passing.
/// Throws Error for a pair that names no atom.
UnfoldedSystem unfold(std::int64_t n_atoms, const int* species, const double* coordinates,
                      const double* cell, const PeriodicPairs& pairs, int depth);

}  // namespace torchml
