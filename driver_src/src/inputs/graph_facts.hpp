#pragma once

#include <cstdint>
#include <string>

namespace torchml {

/// The graph that a model got, where a convention can make it in several ways.
struct GraphFacts {
    std::string mode;  ///< how it was made, in one word
    std::int64_t n_nodes = 0;
    std::int64_t n_edges = 0;
    std::string reason;  ///< sentences: why it was not made smaller, and what to do; "" if it was
};

}  // namespace torchml
