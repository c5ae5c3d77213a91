#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/system.hpp"
#include "inputs/places.hpp"
#include "process/ranks.hpp"
#include "torch_ops/exchange.hpp"

namespace torchml {

/// Finds which rank's contributing particle each ghost is, or is a periodic image of, and makes the
/// exchange of their features. See ImageOwners for images within one rank.
///
/// Owners are found anew when particles or neighbour lists change on any rank: each rank asks those
/// in whose region a ghost's owner may be. Where the cell is not known yet, they ask all ranks for
/// the owners of up to three images; in a perfect crystal, where many particles could be these,
/// rank 0 looks at the particles of all ranks, once. At every step, owners send their positions,
/// and each ghost has to be where its owner is, moved by a vector that all images of the same kind
/// share.
class RankOwners {
  public:
    RankOwners(Ranks& ranks, double cutoff) : ranks_(ranks), cutoff_(cutoff) {}

    /// The edges to contributing particles; receiver, sender: particles. vectors: (E, 3) Å.
    struct Edges {
        std::vector<std::int32_t>& receiver;
        std::vector<std::int32_t>& sender;
        std::vector<double>& vectors;
    };

    /// Brings the owners up to date. Collective, and all ranks get the same answer: false if some
    /// rank's ghosts have no owner; why() then says it. May drop edges that are as long as the
    /// cutoff, to rounding, since the other rank may see them longer.
    bool update(const System& system, const std::vector<double>& coordinates, Edges edges);

    /// Of each ghost that sends along an edge, and of each contributing particle: its node. This
    /// rank's come first, then other ranks' that send to them.
    std::int64_t node_of(std::int32_t particle) const {
        return nodes_[static_cast<std::size_t>(particle)];
    }

    /// The species codes of the other ranks' nodes.
    const std::vector<std::int32_t>& remote_species() const { return remote_species_; }

    /// Of the last update; may outlive it.
    std::shared_ptr<RowExchange> exchange() const;

    const std::string& why() const { return why_; }

  private:
    using Cells = std::array<int, 3>;

    /// A contributing particle of another rank.
    struct Remote {
        int rank;
        std::int32_t index;  ///< among that rank's contributing particles
        bool operator<(const Remote& other) const {
            return rank != other.rank ? rank < other.rank : index < other.index;
        }
        bool operator==(const Remote& other) const {
            return rank == other.rank && index == other.index;
        }
    };
    struct Ghost {
        std::int32_t particle;
        std::int32_t shift = -1;   ///< index in shifts_; -1: its owner is not known
        std::int32_t remote = -1;  ///< index in remotes_; -1: of this rank
        std::int32_t own = -1;     ///< index among contributing particles; -1: of another rank
    };
    struct Shift {
        Cells cells;
        Place vector;
        bool measured;
    };
    /// What particles each neighbouring rank sends, and wants.
    struct Neighbour {
        int rank;
        std::vector<std::int32_t> wanted;  ///< this rank's contributing particles
        std::int32_t first = 0, last = 0;  ///< in remotes_
    };
    /// One row of the messages between neighbours at each step.
    struct Row {
        double x, y, z, species, used;
    };

    bool find(const System& system, const std::vector<double>& coordinates);
    void collect(const System& system);
    void learn_regions(const std::vector<double>& coordinates);
    bool resolve(const System& system, const std::vector<double>& coordinates);
    bool find_cell(const System& system, const std::vector<double>& coordinates);
    double add_vector(const System& system, const std::vector<double>& coordinates,
                      const std::vector<double>& image);
    bool find_cell_on_first_rank(const System& system, const std::vector<double>& coordinates);
    std::vector<double> nearest_image(const System& system,
                                      const std::vector<double>& coordinates) const;
    void make_plan();
    bool verify(const System& system, const std::vector<double>& coordinates, Edges edges);
    bool is_alike(const System& system) const;
    std::pair<Place, Place> region_of_all() const;
    std::vector<Cells> cells_in_reach(const Place& low, const Place& high) const;
    Place vector_of(const Cells& cells) const;

    Ranks& ranks_;
    double cutoff_;
    bool known_ = false;
    int n_failures_ = 0, n_skipped_ = 0;
    std::string why_;

    std::vector<Place> cell_;  // up to three vectors; the same on all ranks
    std::vector<std::int32_t> contributing_;
    std::vector<std::int32_t> ghost_of_;  // of each particle: index in ghosts_; -1
    std::vector<Ghost> ghosts_;           // that lists of contributing particles name
    std::vector<Shift> shifts_;
    std::vector<Remote> remotes_;        // sorted
    std::vector<Neighbour> neighbours_;  // by rank
    std::vector<double> regions_;        // (ranks, 6): lowest and highest coordinates, Å
    Places places_;                      // of contributing particles

    // Of the last update:
    std::vector<std::int64_t> nodes_;
    std::vector<std::int32_t> remote_species_;
    std::vector<std::vector<Row>> out_, in_;
    std::vector<std::vector<std::int64_t>> out_nodes_, in_nodes_;
};

}  // namespace torchml
