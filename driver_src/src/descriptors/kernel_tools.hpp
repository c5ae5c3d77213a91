#pragma once

// What the kernels of several descriptors share besides vectors. Like simd.hpp, without the
// standard library.

#include "descriptors/neighbourhoods.hpp"
#include "descriptors/simd.hpp"

namespace torchml {
namespace {

constexpr double pi = 3.14159265358979323846;

TORCHML_INLINE int larger(int a, int b) { return a > b ? a : b; }

/// The largest number of neighbours of a particle of the block.
TORCHML_INLINE int most_neighbours(const Neighbourhoods& block) {
    int most = 0;
    for (int i = 0; i < block.n; ++i) most = larger(most, block.starts[i + 1] - block.starts[i]);
    return most;
}

/// Hands out scratch memory in whole cache lines; without memory, only counts what is needed.
struct ScratchCursor {
    double* start;  // at the boundary of a cache line, or null
    long used;      // doubles

    template <class T>
    T* take(long count) {
        double* taken = start == nullptr ? nullptr : start + used;
        used += (count * static_cast<long>(sizeof(T)) + 63) / 64 * 8;
        return reinterpret_cast<T*>(taken);
    }
};

}  // namespace
}  // namespace torchml
