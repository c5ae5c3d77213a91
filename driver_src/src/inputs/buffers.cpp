#include "inputs/buffers.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "engine/error.hpp"

namespace torchml {

namespace {

template <class Value>
at::Tensor view_of(const std::vector<Value>& buffer, at::IntArrayRef sizes, at::ScalarType type) {
    // Torch has no read-only views; models do not write into their inputs.
    auto* data = const_cast<Value*>(buffer.data());
    // An empty vector has no address, and from_blob wants one.
    if (data == nullptr) return at::empty(sizes, type);
    return at::from_blob(data, sizes, type);
}

}  // namespace

at::Tensor view(const std::vector<double>& buffer, at::IntArrayRef sizes) {
    return view_of(buffer, sizes, at::kDouble);
}

at::Tensor view(const std::vector<std::int64_t>& buffer, at::IntArrayRef sizes) {
    return view_of(buffer, sizes, at::kLong);
}

at::Tensor view(const std::vector<std::int32_t>& buffer, at::IntArrayRef sizes) {
    return view_of(buffer, sizes, at::kInt);
}

void fill_coordinates(const System& system, std::vector<double>& coordinates) {
    const auto count = 3 * static_cast<std::size_t>(system.n);
    coordinates.resize(count);
    for (std::size_t k = 0; k < count; ++k) {
        coordinates[k] = system.coordinates[k] * system.angstrom;
    }
}

void NearNeighbours::clear() {
    counts_.clear();
    n_pairs_ = 0;
}

void NearNeighbours::append_row(std::int64_t i, const System& system,
                                const std::vector<double>& coordinates) {
    const Neighbours list = system.neighbours->of(i);
    const auto count = static_cast<std::size_t>(list.count);
    if (indices_.size() < n_pairs_ + count) indices_.resize(2 * (n_pairs_ + count));
    const double* x = coordinates.data();
    const double xi = x[3 * i], yi = x[3 * i + 1], zi = x[3 * i + 2];
    std::int32_t* row = indices_.data() + n_pairs_;
    std::size_t kept = 0;
    for (std::size_t k = 0; k < count; ++k) {
        const std::int64_t j = list.indices[k];
        if (j < 0 || j >= system.n) {
            fail("the simulator's neighbour list of particle ", i, " names particle ", j,
                 "; there are ", system.n, ".");
        }
        const double dx = x[3 * j] - xi, dy = x[3 * j + 1] - yi, dz = x[3 * j + 2] - zi;
        row[kept] = static_cast<std::int32_t>(j);
        kept += dx * dx + dy * dy + dz * dz < square_;  // no branch: half of a skin's pairs fail
    }
    counts_.push_back(static_cast<std::int32_t>(kept));
    n_pairs_ += kept;
}

}  // namespace torchml
