#include "inputs/list_check.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace torchml {

namespace {

// A margin below the square of the cutoff that no rounding crosses, in whatever order the square of
// a distance is summed.
constexpr double a_little_less = 1.0 - 1e-12;

// Cells along an axis: beyond this, their indices are not exact, and no real system has so many.
constexpr double most_cells = 1e6;

double square_of_distance(const double* a, const double* b) {
    const double x = b[0] - a[0], y = b[1] - a[1], z = b[2] - a[2];
    return x * x + y * y + z * z;
}

}  // namespace

bool ListCheck::is_due(const Lists& lists) {
    ++n_evaluations_;
    if (lists == seen_ || n_looks_ >= free_looks + n_evaluations_ / spacing) return false;
    ++n_looks_;
    seen_ = lists;
    return true;
}

std::size_t ListCheck::slot_of(const std::int64_t* cell) const {
    auto hash = static_cast<std::uint64_t>(cell[0]) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ static_cast<std::uint64_t>(cell[1])) * 0xC2B2AE3D27D4EB4Fu;
    hash = (hash ^ (hash >> 29) ^ static_cast<std::uint64_t>(cell[2])) * 0x165667B19E3779F9u;
    return (hash >> 32) & (heads_.size() - 1);
}

/// Sorts the particles that can be neighbours of contributing ones into cells. Returns false if
/// there are too many cells to count.
bool ListCheck::fill_cells(const System& system, const std::vector<double>& coordinates,
                           double side) {
    double high[3];
    for (int axis = 0; axis < 3; ++axis) {
        low_[axis] = high[axis] =
            coordinates[static_cast<std::size_t>(3 * contributing_[0] + axis)];
        for (const std::int64_t i : contributing_) {
            const double x = coordinates[static_cast<std::size_t>(3 * i + axis)];
            low_[axis] = std::min(low_[axis], x);
            high[axis] = std::max(high[axis], x);
        }
        if (!(high[axis] - low_[axis] < most_cells * side)) return false;
        low_[axis] -= side;
        high[axis] += side;
    }
    const auto n = static_cast<std::size_t>(system.n);
    std::size_t size = 64;
    while (size < n) size *= 2;
    heads_.assign(size, -1);
    next_.resize(n);
    cells_.resize(3 * n);
    for (std::size_t i = 0; i < n; ++i) {
        const double* x = coordinates.data() + 3 * i;
        bool within = true;
        for (int axis = 0; axis < 3; ++axis)
            within &= x[axis] >= low_[axis] && x[axis] <= high[axis];
        if (!within) continue;
        std::int64_t* cell = cells_.data() + 3 * i;
        for (int axis = 0; axis < 3; ++axis) {
            cell[axis] = static_cast<std::int64_t>((x[axis] - low_[axis]) / side);
        }
        std::int32_t& head = heads_[slot_of(cell)];
        next_[i] = head;
        head = static_cast<std::int32_t>(i);
    }
    return true;
}

std::optional<std::string> ListCheck::look(const System& system,
                                           const std::vector<double>& coordinates,
                                           const NearNeighbours& near) {
    if (warned_ || system.complete_lists) return std::nullopt;
    const std::int64_t n_rows =
        system.n - std::count(system.contributing, system.contributing + system.n, 0);
    if (n_rows == 0 || !is_due({system.n, n_rows, near.n_listed()})) return std::nullopt;
    contributing_.clear();
    for (std::int64_t i = 0; i < system.n; ++i) {
        if (system.contributing[i] != 0) contributing_.push_back(static_cast<std::int32_t>(i));
    }
    const double square = near.square() * a_little_less;
    // The margin keeps rounding from placing a neighbour two cells away.
    if (!fill_cells(system, coordinates, std::sqrt(near.square()) * (1.0 + 1e-9))) {
        return std::nullopt;
    }

    // More than any crystal has; with particles on top of each other, the search would not end.
    const std::int64_t most_candidates = 10'000'000 + 1000 * n_rows;
    std::int64_t n_candidates = 0;
    const auto visit = [&](std::int64_t i, const auto& found) {
        const double* x = coordinates.data() + 3 * i;
        const std::int64_t* own = cells_.data() + 3 * i;
        std::int64_t cell[3];
        for (cell[0] = own[0] - 1; cell[0] <= own[0] + 1; ++cell[0]) {
            for (cell[1] = own[1] - 1; cell[1] <= own[1] + 1; ++cell[1]) {
                for (cell[2] = own[2] - 1; cell[2] <= own[2] + 1; ++cell[2]) {
                    for (std::int32_t j = heads_[slot_of(cell)]; j >= 0;
                         j = next_[static_cast<std::size_t>(j)]) {
                        if (++n_candidates > most_candidates) return;
                        const std::int64_t* other =
                            cells_.data() + 3 * static_cast<std::int64_t>(j);
                        // Another cell may share the slot.
                        if (!std::equal(cell, cell + 3, other) || j == i) continue;
                        if (square_of_distance(x, coordinates.data() + 3 * j) < square) found(j);
                    }
                }
            }
        }
    };

    std::int64_t n_pairs = 0, n_missing = 0, first = 0;
    std::int64_t example = -1, other = -1;
    for (std::int64_t row = 0; row < n_rows; ++row) {
        const std::int64_t i = contributing_[static_cast<std::size_t>(row)];
        const std::int64_t listed = near.counts()[static_cast<std::size_t>(row)];
        std::int64_t count = 0;
        visit(i, [&](std::int32_t) { ++count; });
        if (n_candidates > most_candidates) return std::nullopt;
        n_pairs += std::max(count, listed);
        if (count > listed) {
            n_missing += count - listed;
            if (example < 0) {
                example = i;
                const auto* indices = near.indices().data() + first;
                visit(i, [&](std::int32_t j) {
                    if (std::find(indices, indices + listed, j) == indices + listed) other = j;
                });
            }
        }
        first += listed;
    }
    if (n_missing == 0) return std::nullopt;
    warned_ = true;
    std::ostringstream text;
    text << "the simulator's neighbour lists leave out " << n_missing << " of the " << n_pairs
         << " neighbours within the cutoff. The model does not see these pairs, so they do not "
            "interact";
    if (other >= 0) {
        const double r = std::sqrt(
            square_of_distance(coordinates.data() + 3 * example, coordinates.data() + 3 * other));
        text << ": particles " << example << " and " << other << ", for example, " << r
             << " Å apart";
    }
    text << ". In LAMMPS, special_bonds (for bonded atoms, by default) and neigh_modify exclude "
            "leave out pairs: set 'special_bonds lj/coul 1.0 1.0 1.0', and remove neigh_modify "
            "exclude. If neither applies, the lists are rebuilt too rarely: lower the delay and "
            "every of neigh_modify. This warning appears once.";
    return text.str();
}

}  // namespace torchml
