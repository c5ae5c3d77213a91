#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/system.hpp"
#include "inputs/lattice.hpp"

namespace torchml {

using Place = Vector;

/// How exactly an image lies where it should, Å: simulators add a vector to their particles'
/// coordinates, and units may be converted. `coordinates`: (n, 3) Å.
double place_tolerance(const std::vector<double>& coordinates);

/// Whether no coordinates differ by more.
bool agree(const Place& a, const Place& b, double tolerance);

/// Particles by their places: cells with a list each, in a hash table.
class Places {
  public:
    static constexpr int any_species = -1;

    /// Contributing particles, or all. `side`: of the cells, Å. Keeps pointers to the arrays.
    void fill(const System& system, const double* coordinates, double tolerance, bool all,
              double side);
    bool is_filled() const { return !heads_.empty(); }
    void clear() { heads_.clear(); }

    /// The particle of that species, or of any, at a place; -1 if there is none. The first of
    /// several.
    std::int32_t at(const Place& place, int species) const;

    /// Whether there is one within a distance, Å, that is no longer than the cells' sides.
    bool any_within(const Place& place, double distance) const;

    /// Calls visit(particle) for those within the distance.
    template <class Visit>
    void for_each_within(const Place& place, double distance, const Visit& visit) const {
        const std::int64_t x = cell_of(place[0]), y = cell_of(place[1]), z = cell_of(place[2]);
        std::array<std::size_t, 27> slots;
        std::size_t n_slots = 0;
        for (int k = 0; k < 27; ++k) {  // cells may share a slot, but no particle is met twice
            const std::size_t slot = slot_of(x + k / 9 - 1, y + k / 3 % 3 - 1, z + k % 3 - 1);
            bool is_new = true;
            for (std::size_t m = 0; m < n_slots; ++m) is_new = is_new && slots[m] != slot;
            if (is_new) slots[n_slots++] = slot;
        }
        for (std::size_t m = 0; m < n_slots; ++m) {
            for (std::int32_t i = heads_[slots[m]]; i >= 0;
                 i = next_[static_cast<std::size_t>(i)]) {
                const double* other = coordinates_ + 3 * static_cast<std::size_t>(i);
                const double dx = other[0] - place[0], dy = other[1] - place[1],
                             dz = other[2] - place[2];
                if (dx * dx + dy * dy + dz * dz < distance * distance) visit(i);
            }
        }
    }

  private:
    std::int64_t cell_of(double x) const;
    std::size_t slot_of(std::int64_t x, std::int64_t y, std::int64_t z) const;

    const System* system_ = nullptr;
    const double* coordinates_ = nullptr;
    double tolerance_ = 0.0;
    double side_ = 1.0;
    std::vector<std::int32_t> heads_, next_;
};

}  // namespace torchml
