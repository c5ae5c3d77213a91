#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

namespace torchml {

using Vector = std::array<double, 3>;  ///< Å

inline double dot(const Vector& a, const Vector& b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

inline Vector cross(const Vector& a, const Vector& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

/// The reciprocal vectors, 1/Å, without a factor of 2 π, of one to three vectors that are linearly
/// independent: r . reciprocal[k] is the part of r along vector k. Vectors at right angles to them
/// complete fewer than three.
inline std::array<Vector, 3> reciprocal_of(const std::vector<Vector>& cell) {
    std::array<Vector, 3> full = {};
    std::copy(cell.begin(), cell.end(), full.begin());
    if (cell.size() == 1) {
        const auto shorter = [](double p, double q) { return std::abs(p) < std::abs(q); };
        const auto smallest = std::min_element(full[0].begin(), full[0].end(), shorter);
        Vector axis = {};
        axis[static_cast<std::size_t>(smallest - full[0].begin())] =
            std::sqrt(dot(full[0], full[0]));
        full[1] = cross(full[0], axis);
    }
    if (cell.size() < 3) full[2] = cross(full[0], full[1]);
    std::array<Vector, 3> found = {cross(full[1], full[2]), cross(full[2], full[0]),
                                   cross(full[0], full[1])};
    const double volume = dot(found[0], full[0]);
    for (Vector& vector : found) {
        for (double& component : vector) component /= volume;
    }
    return found;
}

/// Whether up to three vectors point in different directions, the last one from those before it.
inline bool are_independent(const std::vector<Vector>& cell) {
    constexpr double flat = 1e-6;  // relative
    if (cell.size() < 2) return true;
    const Vector& last = cell.back();
    const Vector area = cross(cell[0], cell[1]);
    const double length = std::sqrt(dot(last, last));
    if (cell.size() == 2) {
        return std::sqrt(dot(area, area)) >= flat * length * std::sqrt(dot(cell[0], cell[0]));
    }
    return std::abs(dot(area, last)) >= flat * length * std::sqrt(dot(area, area));
}

}  // namespace torchml
