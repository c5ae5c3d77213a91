#include "inputs/places.hpp"

#include <algorithm>
#include <cmath>

namespace torchml {

double place_tolerance(const std::vector<double>& coordinates) {
    double largest = 0.0;
    for (const double x : coordinates) largest = std::max(largest, std::abs(x));
    return 1e-9 + 1e-13 * largest;
}

bool agree(const Place& a, const Place& b, double tolerance) {
    return std::abs(a[0] - b[0]) <= tolerance && std::abs(a[1] - b[1]) <= tolerance &&
           std::abs(a[2] - b[2]) <= tolerance;
}

void Places::fill(const System& system, const double* coordinates, double tolerance, bool all,
                  double side) {
    system_ = &system;
    coordinates_ = coordinates;
    tolerance_ = tolerance;
    side_ = side;
    std::size_t size = 64;
    while (size < static_cast<std::size_t>(system.n)) size *= 2;
    heads_.assign(size, -1);
    next_.assign(static_cast<std::size_t>(system.n), -1);
    for (std::int64_t i = system.n - 1; i >= 0; --i) {
        if (!all && system.contributing[i] == 0) continue;
        const double* x = coordinates_ + 3 * i;
        std::int32_t& head = heads_[slot_of(cell_of(x[0]), cell_of(x[1]), cell_of(x[2]))];
        next_[static_cast<std::size_t>(i)] = head;
        head = static_cast<std::int32_t>(i);
    }
}

std::int64_t Places::cell_of(double x) const {
    return static_cast<std::int64_t>(std::floor(x / side_));
}

std::size_t Places::slot_of(std::int64_t x, std::int64_t y, std::int64_t z) const {
    auto hash = static_cast<std::uint64_t>(x) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ static_cast<std::uint64_t>(y)) * 0xC2B2AE3D27D4EB4Fu;
    hash = (hash ^ (hash >> 29) ^ static_cast<std::uint64_t>(z)) * 0x165667B19E3779F9u;
    return (hash >> 32) & (heads_.size() - 1);
}

std::int32_t Places::at(const Place& place, int species) const {
    // A place beside a cell's wall may be in the next one.
    std::int64_t low[3], high[3];
    for (std::size_t axis = 0; axis < 3; ++axis) {
        low[axis] = cell_of(place[axis] - tolerance_);
        high[axis] = cell_of(place[axis] + tolerance_);
    }
    std::int32_t first = -1;
    for (std::int64_t x = low[0]; x <= high[0]; ++x) {
        for (std::int64_t y = low[1]; y <= high[1]; ++y) {
            for (std::int64_t z = low[2]; z <= high[2]; ++z) {
                for (std::int32_t i = heads_[slot_of(x, y, z)]; i >= 0;
                     i = next_[static_cast<std::size_t>(i)]) {
                    if (first >= 0 && i >= first) break;  // lists are in order
                    const double* other = coordinates_ + 3 * static_cast<std::size_t>(i);
                    if ((species == any_species || system_->species[i] == species) &&
                        agree(place, {other[0], other[1], other[2]}, tolerance_)) {
                        first = i;
                        break;
                    }
                }
            }
        }
    }
    return first;
}

bool Places::any_within(const Place& place, double distance) const {
    bool any = false;
    for_each_within(place, distance, [&](std::int32_t) { any = true; });
    return any;
}

}  // namespace torchml
