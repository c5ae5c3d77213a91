#include "inputs/buffers.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.hpp"

namespace torchml {

namespace {

bool finite(double value) { return std::abs(value) <= std::numeric_limits<double>::max(); }

[[noreturn]] void refuse_coordinates(const std::vector<double>& coordinates) {
    const auto first = std::find_if_not(coordinates.begin(), coordinates.end(), &finite);
    const auto particle = (first - coordinates.begin()) / 3;
    const auto* x = coordinates.data() + 3 * particle;
    fail("particle ", particle, " is at (", x[0], ", ", x[1], ", ", x[2],
         ") Å, which is not a position. If the simulation has become unstable, look at its last "
         "steps and use a shorter time step.");
}

[[noreturn]] void refuse_neighbour(std::int64_t i, std::int64_t j, std::int64_t n) {
    if (i == j)
        fail("the simulator's neighbour list of particle ", i, " names that particle itself.");
    fail("the simulator's neighbour list of particle ", i, " names particle ", j, "; there are ", n,
         " particles, numbered from 0.");
}

/// Throws Error for a list that is longer than one that names every other particle once.
void require_possible(const Neighbours& list, std::int64_t i, std::int64_t n) {
    if (list.count >= 0 && list.count < n && (list.count == 0 || list.indices != nullptr)) return;
    fail("the simulator's neighbour list of particle ", i, " has ", list.count, " entries",
         list.indices == nullptr ? " but no address" : "", "; there are ", n, " particles.");
}

}  // namespace

template <class Value>
at::Tensor Buffer<Value>::view(at::IntArrayRef sizes) const {
    const at::ScalarType type = c10::CppTypeToScalarType<Value>::value;
    // An empty vector has no address, and from_blob needs one.
    if (values_->data() == nullptr) return at::empty(sizes, type);
    return at::from_blob(values_->data(), sizes, [kept = values_](void*) {}, type);
}

template class Buffer<double>;
template class Buffer<std::int64_t>;
template class Buffer<std::int32_t>;

void fill_coordinates(const System& system, std::vector<double>& coordinates) {
    const auto count = 3 * static_cast<std::size_t>(system.n);
    coordinates.resize(count);
    bool all_finite = true;
    for (std::size_t k = 0; k < count; ++k) {
        coordinates[k] = system.coordinates[k] * system.angstrom;
        all_finite &= finite(coordinates[k]);
    }
    // Comparisons with nan are false, so such a particle would silently have no neighbours.
    if (!all_finite) refuse_coordinates(coordinates);
}

void NearNeighbours::clear() {
    counts_.renew().clear();
    indices_.renew();
    n_pairs_ = 0;
    n_listed_ = 0;
}

void NearNeighbours::append_row(std::int64_t i, const System& system,
                                const std::vector<double>& coordinates) {
    const Neighbours list = system.neighbours->of(i);
    require_possible(list, i, system.n);
    const auto count = static_cast<std::size_t>(list.count);
    std::vector<std::int32_t>& indices = *indices_;
    if (indices.size() < n_pairs_ + count) indices.resize(2 * (n_pairs_ + count));
    const double* x = coordinates.data();
    const double xi = x[3 * i], yi = x[3 * i + 1], zi = x[3 * i + 2];
    std::int32_t* row = indices.data() + n_pairs_;
    std::size_t kept = 0;
    for (std::size_t k = 0; k < count; ++k) {
        const std::int64_t j = list.indices[k];
        if (j < 0 || j >= system.n || j == i) refuse_neighbour(i, j, system.n);
        const double dx = x[3 * j] - xi, dy = x[3 * j + 1] - yi, dz = x[3 * j + 2] - zi;
        row[kept] = static_cast<std::int32_t>(j);
        kept += dx * dx + dy * dy + dz * dz < square_;  // no branch: half of a skin's pairs fail
    }
    (*counts_).push_back(static_cast<std::int32_t>(kept));
    n_pairs_ += kept;
    n_listed_ += list.count;
}

void NearNeighbours::append_row(std::int64_t i, const System& system,
                                const std::vector<double>& coordinates,
                                std::vector<double>& vectors) {
    const Neighbours list = system.neighbours->of(i);
    const double* shift = list.shifts;
    if (shift == nullptr) require_possible(list, i, system.n);
    const auto count = static_cast<std::size_t>(list.count);
    std::vector<std::int32_t>& indices = *indices_;
    if (indices.size() < n_pairs_ + count) indices.resize(2 * (n_pairs_ + count));
    const std::size_t first = vectors.size();
    vectors.resize(first + 3 * count);
    const double* x = coordinates.data();
    const double xi = x[3 * i], yi = x[3 * i + 1], zi = x[3 * i + 2];
    std::int32_t* row = indices.data() + n_pairs_;
    double* vector = vectors.data() + first;
    std::size_t kept = 0;
    for (std::size_t k = 0; k < count; ++k) {
        const std::int64_t j = list.indices[k];
        if (j < 0 || j >= system.n || (j == i && shift == nullptr)) {
            refuse_neighbour(i, j, system.n);
        }
        double dx = x[3 * j] - xi, dy = x[3 * j + 1] - yi, dz = x[3 * j + 2] - zi;
        if (shift != nullptr) {
            dx += shift[3 * k];
            dy += shift[3 * k + 1];
            dz += shift[3 * k + 2];
        }
        row[kept] = static_cast<std::int32_t>(j);
        vector[3 * kept] = dx;
        vector[3 * kept + 1] = dy;
        vector[3 * kept + 2] = dz;
        kept += dx * dx + dy * dy + dz * dz < square_;
    }
    vectors.resize(first + 3 * kept);
    (*counts_).push_back(static_cast<std::int32_t>(kept));
    n_pairs_ += kept;
    n_listed_ += list.count;
}

void NearNeighbours::append_group(std::int32_t first, std::int32_t count) {
    std::vector<std::int32_t>& indices = indices_.extend();
    indices.resize(n_pairs_);
    for (std::int32_t i = 0; i < count; ++i) {
        for (std::int32_t j = 0; j < count; ++j) {
            if (j != i) indices.push_back(first + j);
        }
    }
    counts_.extend().insert(counts_.extend().end(), static_cast<std::size_t>(count), count - 1);
    n_pairs_ = indices.size();
}

}  // namespace torchml
