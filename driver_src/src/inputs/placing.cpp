#include "inputs/placing.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace torchml {

namespace {

// Å: in a shorter box, float32 resolves coordinates to 4e-6 Å, and searching for empty space is not
// worth the time.
constexpr double long_box = 128.0;

// In cutoffs: the length to which longer empty spaces are shortened.
constexpr double kept_gap = 2.0;

/// Along one axis: everything at or beyond `from` moves down by `down`.
struct Step {
    double from;
    double down;
};

/// The steps that shorten the empty spaces between sorted coordinates to at most `kept`.
std::vector<Step> shortened_gaps(const std::vector<double>& sorted, double kept) {
    std::vector<Step> steps;
    double down = 0.0;
    for (std::size_t k = 1; k < sorted.size(); ++k) {
        const double gap = sorted[k] - sorted[k - 1];
        if (gap <= kept) continue;
        down += gap - kept;
        steps.push_back({sorted[k], down});
    }
    return steps;
}

double middle(double low, double high) { return 0.5 * low + 0.5 * high; }  // no overflow

/// Moves the coordinates of one axis, every third value from `first` on.
void move_axis(double kept, std::size_t first, std::vector<double>& coordinates,
               std::vector<double>& sorted) {
    double low = coordinates[first], high = low;
    for (std::size_t k = first; k < coordinates.size(); k += 3) {
        low = std::min(low, coordinates[k]);
        high = std::max(high, coordinates[k]);
    }
    std::vector<Step> steps;
    if (high - low > long_box) {
        sorted.clear();
        for (std::size_t k = first; k < coordinates.size(); k += 3) {
            sorted.push_back(coordinates[k]);
        }
        std::sort(sorted.begin(), sorted.end());
        steps = shortened_gaps(sorted, kept);
    }
    if (steps.empty()) {
        const double origin = middle(low, high);
        for (std::size_t k = first; k < coordinates.size(); k += 3) coordinates[k] -= origin;
        return;
    }
    // One subtraction per coordinate, so that displacements keep their digits.
    const double origin = middle(low, high - steps.back().down);
    for (std::size_t k = first; k < coordinates.size(); k += 3) {
        const auto next =
            std::upper_bound(steps.begin(), steps.end(), coordinates[k],
                             [](double value, const Step& step) { return value < step.from; });
        coordinates[k] -= origin + (next == steps.begin() ? 0.0 : (next - 1)->down);
    }
}

}  // namespace

void move_together(double cutoff, std::vector<double>& coordinates) {
    if (coordinates.empty()) return;
    std::vector<double> sorted;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        move_axis(kept_gap * cutoff, axis, coordinates, sorted);
    }
}

void append_company(double cutoff, double reach, int group, std::vector<double>& coordinates) {
    // An irregular tetrahedron, aligned with no axis: models may not be differentiable where
    // particles lie on a line, in a plane or straight above each other. Edges are 0.8 to 1.2 long.
    constexpr std::array<std::array<double, 3>, company_size> corners = {
        {{0.0, 0.03, -0.02}, {0.94, 0.11, 0.27}, {0.31, 0.92, -0.13}, {0.42, 0.33, 0.87}}};
    // Å: well within the cutoff, and a usual distance of neighbours in matter, since models may
    // need bonds that are shorter than their cutoff.
    const double edge = std::min(0.6 * cutoff, 2.5);
    const double apart = reach + 2.0 * cutoff;
    if (group == 0) {
        for (std::size_t axis = 0; axis < 3 && !coordinates.empty(); ++axis) {
            double high = coordinates[axis];
            for (std::size_t k = axis; k < coordinates.size(); k += 3) {
                high = std::max(high, coordinates[k]);
            }
            for (std::size_t k = axis; k < coordinates.size(); k += 3) {
                coordinates[k] = (coordinates[k] - high) - apart;
            }
        }
    }
    for (const auto& corner : corners) {
        for (const double x : corner) coordinates.push_back(group * apart + edge * x);
    }
}

}  // namespace torchml
