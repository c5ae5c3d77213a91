#pragma once

namespace torchml {

/// A block of particles and their neighbours within the pairs' cutoffs: arrays by component, so
/// that kernels load whole vectors.
struct Neighbourhoods {
    int n = 0;                               ///< central particles
    const int* species = nullptr;            ///< (n) of the central particles: 0, 1, 2, ...
    const int* starts = nullptr;             ///< (n + 1) where each one's neighbours begin
    const int* neighbour_species = nullptr;  ///< (pairs)
    const double* x = nullptr;               ///< (pairs) from the centre to the neighbour, Å
    const double* y = nullptr;               ///< (pairs)
    const double* z = nullptr;               ///< (pairs)
    const double* r = nullptr;               ///< (pairs) the distance, Å
};

}  // namespace torchml
