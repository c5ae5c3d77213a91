#pragma once

// What the calling conventions share: particles as tensors, and neighbours within the cutoff. Each
// step refills the same memory.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/system.hpp"

namespace torchml {

/// The values of one input. Tensors over them are views that share ownership of the memory: if a
/// model keeps a tensor, it stays unchanged, and the next step uses new memory.
template <class Value>
class Buffer {
  public:
    Buffer() = default;
    Buffer(Buffer&&) noexcept = default;
    Buffer& operator=(Buffer&&) noexcept = default;

    /// Call this before replacing all values.
    std::vector<Value>& renew() {
        if (values_.use_count() != 1) values_ = std::make_shared<std::vector<Value>>();
        return *values_;
    }

    /// Call this before appending values.
    std::vector<Value>& extend() {
        if (values_.use_count() != 1) values_ = std::make_shared<std::vector<Value>>(*values_);
        return *values_;
    }

    std::vector<Value>& operator*() { return *values_; }
    const std::vector<Value>& operator*() const { return *values_; }

    /// A tensor over the first values. Instantiated for double, int64 and int32.
    at::Tensor view(at::IntArrayRef sizes) const;

  private:
    std::shared_ptr<std::vector<Value>> values_ = std::make_shared<std::vector<Value>>();
};

/// The coordinates of all particles in Å, (n, 3). Throws Error if one of them is not finite.
void fill_coordinates(const System& system, std::vector<double>& coordinates);

/// Neighbour lists within the cutoff: one row after the other, each with the neighbours of one
/// particle that are nearer than the cutoff, whatever the simulator's skin.
class NearNeighbours {
  public:
    explicit NearNeighbours(double cutoff) : square_(cutoff * cutoff) {}

    void clear();

    /// Appends the row of particle i. `coordinates`: (n, 3) Å. Throws Error for an impossible list,
    /// which names particle i itself or a particle that does not exist, or has more entries than
    /// there are other particles.
    void append_row(std::int64_t i, const System& system, const std::vector<double>& coordinates);

    /// The same, and appends each neighbour's displacement r_j - r_i (3), Å, to `vectors`. Takes
    /// lists with shifts, too, in which a particle may be its own neighbour, and many times
    /// another's.
    void append_row(std::int64_t i, const System& system, const std::vector<double>& coordinates,
                    std::vector<double>& vectors);

    /// Appends rows of particles `first` to `first + count - 1`, each with the others.
    void append_group(std::int32_t first, std::int32_t count);

    std::int64_t n_rows() const { return static_cast<std::int64_t>((*counts_).size()); }
    std::int64_t n_pairs() const { return static_cast<std::int64_t>(n_pairs_); }
    /// (n_rows) how many neighbours each row has.
    const std::vector<std::int32_t>& counts() const { return *counts_; }
    at::Tensor counts_tensor() const { return counts_.view({n_rows()}); }
    /// The rows, one after the other; the first n_pairs() entries count.
    const std::vector<std::int32_t>& indices() const { return *indices_; }
    at::Tensor indices_tensor() const { return indices_.view({n_pairs()}); }
    /// The total length of the simulator's lists, entries beyond the cutoff included.
    std::int64_t n_listed() const { return n_listed_; }
    /// The cutoff's square, Å².
    double square() const { return square_; }

  private:
    double square_;
    Buffer<std::int32_t> counts_;
    Buffer<std::int32_t> indices_;
    std::size_t n_pairs_ = 0;
    std::int64_t n_listed_ = 0;
};

}  // namespace torchml
