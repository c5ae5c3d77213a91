#pragma once

// What the calling conventions share: particles as tensors, and neighbours within the cutoff.
// Everything here is filled anew each step into memory that stays.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "engine/system.hpp"

namespace torchml {

/// A tensor over a buffer, without a copy; valid while the buffer keeps its memory.
at::Tensor view(const std::vector<double>& buffer, at::IntArrayRef sizes);
at::Tensor view(const std::vector<std::int64_t>& buffer, at::IntArrayRef sizes);
at::Tensor view(const std::vector<std::int32_t>& buffer, at::IntArrayRef sizes);

/// The coordinates of all particles in Å, (n, 3). Throws Error if one of them is not finite.
void fill_coordinates(const System& system, std::vector<double>& coordinates);

/// Neighbour lists cut at a distance: one row after the other, each with the neighbours of one
/// particle that are nearer than the cutoff, whatever the simulator's skin.
class NearNeighbours {
  public:
    explicit NearNeighbours(double cutoff) : square_(cutoff * cutoff) {}

    void clear();

    /// Appends the row of particle i. `coordinates`: (n, 3) Å. Throws Error for a list that no
    /// simulator should give: that names what is no particle or particle i itself, or has more
    /// entries than there are others.
    void append_row(std::int64_t i, const System& system, const std::vector<double>& coordinates);

    std::int64_t n_rows() const { return static_cast<std::int64_t>(counts_.size()); }
    std::int64_t n_pairs() const { return static_cast<std::int64_t>(n_pairs_); }
    /// (n_rows) how many neighbours each row has.
    const std::vector<std::int32_t>& counts() const { return counts_; }
    /// The rows, one after the other; the first n_pairs() entries count.
    const std::vector<std::int32_t>& indices() const { return indices_; }

  private:
    double square_;
    std::vector<std::int32_t> counts_;
    std::vector<std::int32_t> indices_;
    std::size_t n_pairs_ = 0;
};

}  // namespace torchml
