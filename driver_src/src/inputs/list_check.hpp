#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/system.hpp"
#include "inputs/buffers.hpp"

namespace torchml {

/// Looks for pairs within the cutoff that the simulator's neighbour lists leave out: the model
/// never sees them, and its energy silently differs. LAMMPS leaves out pairs where the user's bonds
/// or groups of atoms exclude them, which suits potentials made for that.
///
/// The time is linear in the number of particles, but as long as a fast model needs to make its
/// inputs. So the check runs at the first evaluation and then when lists have changed: at first
/// each time, later at one evaluation in `spacing`.
class ListCheck {
  public:
    /// Returns a warning for the user, once. `coordinates`: (n, 3) Å. `near`: the listed neighbours
    /// within the cutoff; the rows of contributing particles come first, in order.
    std::optional<std::string> look(const System& system, const std::vector<double>& coordinates,
                                    const NearNeighbours& near);

  private:
    /// Counts that rarely stay the same when lists are rebuilt.
    struct Lists {
        std::int64_t n_particles = 0, n_contributing = 0, n_listed = 0;
        bool operator==(const Lists& other) const {
            return n_particles == other.n_particles && n_contributing == other.n_contributing &&
                   n_listed == other.n_listed;
        }
    };

    static constexpr std::int64_t spacing = 64;
    static constexpr std::int64_t free_looks = 8;

    bool is_due(const Lists& lists);
    bool fill_cells(const System& system, const std::vector<double>& coordinates, double side);
    std::size_t slot_of(const std::int64_t* cell) const;

    std::int64_t n_evaluations_ = 0;
    std::int64_t n_looks_ = 0;
    Lists seen_;
    bool warned_ = false;

    // Particles sorted into cells as long as the cutoff: linked lists, with a head for each slot of
    // a hash table. Cells may share a slot.
    double low_[3] = {};
    std::vector<std::int32_t> contributing_;
    std::vector<std::int32_t> heads_;
    std::vector<std::int32_t> next_;
    std::vector<std::int64_t> cells_;  // (n, 3)
};

}  // namespace torchml
