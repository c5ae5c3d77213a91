#include "inputs/placing.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace torchml {

void append_company(double cutoff, double reach, int group, std::vector<double>& coordinates) {
    // An irregular tetrahedron, turned to no axis: models may not be differentiable where particles
    // lie in a line, in a plane or straight above each other. Its edges are 0.8 to 1.2.
    constexpr std::array<std::array<double, 3>, company_size> corners = {
        {{0.0, 0.03, -0.02}, {0.94, 0.11, 0.27}, {0.31, 0.92, -0.13}, {0.42, 0.33, 0.87}}};
    // Å: well within the cutoff, and where neighbours are in matter: models may want bonds to be
    // shorter than their cutoff.
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
