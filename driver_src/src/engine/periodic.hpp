#pragma once

#include <cstdint>
#include <vector>

#include "base/system.hpp"

namespace torchml {

/// Pairs of a periodic system, as neighbour-list libraries return them: the first atom of a pair
/// has as a neighbour the image of the second that is `shifts` cells away. Full: both directions.
struct PeriodicPairs {
    std::int64_t n_pairs = 0;
    const std::int64_t* atoms = nullptr;   ///< (n_pairs, 2)
    const std::int32_t* shifts = nullptr;  ///< (n_pairs, 3)
};

/// A periodic system, unfolded as simulators do it: the atoms, which contribute, then their
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

/// Neighbour lists of the atoms alone: an image is its atom, moved by a shift. Each atom's
/// neighbours are in the order of its pairs. Throws as unfold().
NeighbourLists folded_lists(std::int64_t n_atoms, const double* cell, const PeriodicPairs& pairs);

/// Unfolds `n_atoms` atoms. `cell`: (3, 3) Å, the cell's vectors in rows. `depth`: the number of
/// hops from an atom up to which particles have neighbour lists: 1 for the atoms' own, N for N
/// rounds of message passing. Throws Error for a pair that names an atom that does not exist, and
/// for systems that are too large.
UnfoldedSystem unfold(std::int64_t n_atoms, const int* species, const double* coordinates,
                      const double* cell, const PeriodicPairs& pairs, int depth);

}  // namespace torchml
