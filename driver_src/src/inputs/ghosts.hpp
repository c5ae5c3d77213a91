#pragma once

#include "base/variables.hpp"

namespace torchml {

/// What stands for periodic images, and for other ranks' particles, in an edge model's graph.
enum class Ghosts {
    automatic,  ///< folded or exchanged where that is proven to be right, staged elsewhere
    fold,       ///< an edge from an image comes from its owner; anything else is an error
    exchange,   ///< the same, also from the rank that has the owner; anything else is an error
    stage,      ///< they are nodes, as far as the model's layers reach
};

/// KIM_MODEL_GHOSTS. Throws Error for another value.
Ghosts choose_ghosts(const Environment& environment);

}  // namespace torchml
