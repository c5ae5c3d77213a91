#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/system.hpp"
#include "inputs/lattice.hpp"
#include "inputs/places.hpp"

namespace torchml {

/// How many particles around an image have to be found around its owner, too.
constexpr std::size_t n_companions = 8;

/// Finds which contributing particle each ghost is a periodic image of.
///
/// Simulators do not say. But an image lies where its owner is, moved by a vector that many images
/// share, to rounding: so owners follow from positions. They are found anew when particles change,
/// and checked at every step, at the price of one subtraction for each ghost.
class ImageOwners {
  public:
    /// Brings the owners up to date. False if some ghost is an image of no contributing particle,
    /// or the vectors are not those of one lattice; why() then says it. `coordinates`: (n, 3) Å.
    /// `reach`: Å around contributing particles within which all others are passed.
    /// `look_for_choice`: whether had_choice() is wanted.
    bool update(const System& system, const std::vector<double>& coordinates, double reach,
                bool look_for_choice = true);

    /// Of each particle: its owner, itself if it contributes.
    const std::vector<std::int32_t>& owners() const { return owners_; }

    /// Whether the particles that were passed leave a choice: in a perfect crystal several cells
    /// give each image an owner, but far from it owners may have different surroundings. Without a
    /// choice the owners are the true ones. True, too, if finding out would have taken too long.
    bool had_choice() const { return had_choice_; }

    /// Lets the next update() find the owners anew.
    void forget() { known_ = false; }

    /// Whether the contributing particles with all their images, as the vectors have them, look the
    /// same when they are moved by a vector. Writes the particle that each of them, in order, is
    /// led to by its opposite, or an image of which. As the other questions below, valid until the
    /// next update(), while the system of the last one is there, and only if that has found the
    /// owners anew.
    bool repeat_by(const Vector& vector, std::vector<std::int32_t>& led_to) const;

    /// Whether there is no particle of a species at a place, though it is within `near`, Å, of a
    /// contributing particle.
    bool lacks(const Vector& place, int species, double near) const;

    /// Whether there is a particle at each place near contributing particles, Å, at which the
    /// vectors have an image of one. False, too, if there are too many places to look at.
    bool predict_only_particles(double near) const;

    /// Whether the last update() found the owners anew.
    bool found_anew() const { return found_anew_; }

    /// Up to three vectors, of which all images' shifts are sums, as of the last search.
    const std::vector<Vector>& cell() const { return cell_; }

    const std::string& why() const { return why_; }

  private:
    using Cells = std::array<int, 3>;  ///< how many of each of the cell's vectors

    /// Images that are moved by the same vector.
    struct Shift {
        Vector vector;
        Cells cells;
        std::int32_t image;  ///< one of them
    };

    bool still_hold(const System& system, const std::vector<double>& coordinates);
    bool find(const System& system, const std::vector<double>& coordinates);
    bool complete_cell(std::size_t first, const std::vector<double>& coordinates);
    std::vector<Vector> vectors_to(std::int32_t image, const std::vector<double>& coordinates);
    bool is_enough();
    bool is_cell(bool check_owners);
    bool leads_to_contributing(const Vector& vector);
    void find_corners();
    std::int32_t owner_of(std::int32_t image, Cells& cells) const;
    std::int32_t owner_at(const double* where, int species, Cells& cells) const;
    Cells nearest_cells(const Vector& apart) const;
    void write_owners();
    bool are_distinct() const;
    const Places& surroundings(double near) const;
    static Vector sum_of(const std::vector<Vector>& vectors, const Cells& cells);
    const double* place(std::int32_t particle) const {
        return x_ + 3 * static_cast<std::size_t>(particle);
    }

    std::vector<std::int32_t> owners_, shift_of_;  // of each particle
    std::vector<std::int32_t> contributing_, images_;
    std::vector<Shift> shifts_;
    std::string why_;
    bool found_anew_ = false;
    bool known_ = false;
    bool had_choice_ = false;

    // While owners are sought:
    const System* system_ = nullptr;
    const double* x_ = nullptr;
    double reach_ = 0.0;
    Vector middle_ = {};                 // of the contributing particles
    Vector extent_ = {};                 // theirs
    std::vector<std::int32_t> corners_;  // the outermost of them
    std::vector<Vector> cell_;           // up to three of its vectors
    std::optional<std::vector<Vector>> found_cell_;
    bool look_for_choice_ = true;
    std::int64_t n_looks_ = 0;  // at places, in this search
    Places places_;             // of contributing particles
    Places all_places_;         // of all
    mutable Places around_;     // of contributing particles, in larger cells
    mutable double around_side_ = 0.0;
};

}  // namespace torchml
