#include "inputs/rank_owners.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "base/error.hpp"
#include "inputs/image_owners.hpp"
#include "inputs/owner_choice.hpp"

namespace torchml {

namespace {

/// Å; how far the cell may have changed since it was measured. Less than atoms are apart.
constexpr double loose = 0.05;
/// Å; two ranks see the same pair's distance with different rounding.
constexpr double rounding = 1e-6;
/// Particles that one rank may look at: some hundred megabytes.
constexpr double most_on_first_rank = 5e6;

Place place_of(const std::vector<double>& coordinates, std::int32_t particle) {
    const double* x = coordinates.data() + 3 * static_cast<std::size_t>(particle);
    return {x[0], x[1], x[2]};
}

Place minus(const Place& a, const Place& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }

/// Text and numbers in one message.
void append_text(std::vector<double>& values, const std::string& text) {
    values.push_back(static_cast<double>(text.size()));
    for (const char c : text) values.push_back(static_cast<double>(static_cast<unsigned char>(c)));
}

/// Sends rows of tensors between ranks, as the plan of one step has it.
class NodeExchange final : public RowExchange {
  public:
    struct Neighbour {
        int rank;
        std::vector<std::int64_t> out, in;  ///< nodes
    };

    NodeExchange(Ranks& ranks, std::vector<Neighbour> neighbours)
        : ranks_(ranks), neighbours_(std::move(neighbours)) {}

    void forward(at::Tensor& rows) override {
        const std::vector<at::Tensor> received = swap(
            rows, [](const Neighbour& other) -> const auto& { return other.out; },
            [](const Neighbour& other) -> const auto& { return other.in; });
        for (std::size_t k = 0; k < received.size(); ++k) {
            rows.index_copy_(0, index(neighbours_[k].in), received[k]);
        }
    }

    void backward(at::Tensor& rows) override {
        const std::vector<at::Tensor> received = swap(
            rows, [](const Neighbour& other) -> const auto& { return other.in; },
            [](const Neighbour& other) -> const auto& { return other.out; });
        for (std::size_t k = 0; k < received.size(); ++k) {
            rows.index_fill_(0, index(neighbours_[k].in), 0.0);
        }
        for (std::size_t k = 0; k < received.size(); ++k) {
            rows.index_add_(0, index(neighbours_[k].out), received[k]);
        }
    }

  private:
    static at::Tensor index(const std::vector<std::int64_t>& nodes) {
        return at::tensor(nodes, at::kLong);
    }

    template <class Out, class In>
    std::vector<at::Tensor> swap(const at::Tensor& rows, const Out& out, const In& in) {
        std::vector<at::Tensor> sent, received;
        std::vector<Ranks::Message> out_messages, in_messages;
        for (const Neighbour& other : neighbours_) {
            sent.push_back(rows.index_select(0, index(out(other))));
            auto sizes = rows.sizes().vec();
            sizes[0] = static_cast<std::int64_t>(in(other).size());
            received.push_back(at::empty(sizes, rows.options()));
            out_messages.push_back(
                {other.rank, static_cast<char*>(sent.back().data_ptr()), sent.back().nbytes()});
            in_messages.push_back({other.rank, static_cast<char*>(received.back().data_ptr()),
                                   received.back().nbytes()});
        }
        ranks_.exchange(out_messages, in_messages);
        return received;
    }

    Ranks& ranks_;
    std::vector<Neighbour> neighbours_;
};

}  // namespace

std::shared_ptr<RowExchange> RankOwners::exchange() const {
    std::vector<NodeExchange::Neighbour> neighbours;
    for (std::size_t k = 0; k < neighbours_.size(); ++k) {
        neighbours.push_back({neighbours_[k].rank, out_nodes_[k], in_nodes_[k]});
    }
    return std::make_shared<NodeExchange>(ranks_, std::move(neighbours));
}

bool RankOwners::update(const System& system, const std::vector<double>& coordinates, Edges edges) {
    if (known_) {
        const bool holds = verify(system, coordinates, edges);
        if (ranks_.largest(holds ? 0 : 1) == 0) return true;
    } else if (n_skipped_ > 0) {  // looking again at every step would cost more than it can win
        --n_skipped_;
        return false;
    }
    known_ = find(system, coordinates);
    if (known_) {
        const bool holds = verify(system, coordinates, edges);
        known_ = ranks_.largest(holds ? 0 : 1) == 0;
        if (!known_ && holds) why_ = "the particles of another rank are not where they should be";
    }
    if (known_) {
        n_failures_ = 0;
    } else {
        n_skipped_ = std::min(1 << std::min(n_failures_++, 6), 64) - 1;
    }
    return known_;
}

/// Contributing particles, and the ghosts that their lists name.
void RankOwners::collect(const System& system) {
    contributing_.clear();
    ghosts_.clear();
    ghost_of_.assign(static_cast<std::size_t>(system.n), -1);
    std::vector<char> named(static_cast<std::size_t>(system.n), 0);
    for (std::int32_t i = 0; i < system.n; ++i) {
        if (system.contributing[i] == 0) continue;
        contributing_.push_back(i);
        const Neighbours listed = system.neighbours->of(i);
        for (int k = 0; k < listed.count; ++k) {
            const int j = listed.indices[k];
            if (j >= 0 && j < system.n) named[static_cast<std::size_t>(j)] = 1;
        }
    }
    for (std::int32_t i = 0; i < system.n; ++i) {
        if (named[static_cast<std::size_t>(i)] == 0 || system.contributing[i] != 0) continue;
        ghost_of_[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(ghosts_.size());
        ghosts_.push_back({i});
    }
}

/// Where each rank's contributing particles are, and what is known of the cell now.
void RankOwners::learn_regions(const std::vector<double>& coordinates) {
    constexpr double far = std::numeric_limits<double>::max();
    std::vector<double> own = {far, far, far, -far, -far, -far};
    for (const std::int32_t i : contributing_) {
        const Place place = place_of(coordinates, i);
        for (std::size_t axis = 0; axis < 3; ++axis) {
            own[axis] = std::min(own[axis], place[axis]);
            own[3 + axis] = std::max(own[3 + axis], place[axis]);
        }
    }
    for (std::size_t k = 0; k < cell_.size(); ++k) {
        Cells unit = {};
        unit[k] = 1;
        const auto shift = std::find_if(shifts_.begin(), shifts_.end(), [&](const Shift& one) {
            return one.measured && one.cells == unit;
        });
        own.push_back(shift != shifts_.end() ? 1.0 : 0.0);
        for (std::size_t axis = 0; axis < 3; ++axis) {
            own.push_back(shift != shifts_.end() ? shift->vector[axis] : 0.0);
        }
    }
    const std::vector<double> all = ranks_.gather(own);
    regions_.clear();
    std::vector<bool> is_new(cell_.size(), false);
    for (auto rank = all.begin(); rank != all.end();
         rank += static_cast<std::ptrdiff_t>(own.size())) {
        regions_.insert(regions_.end(), rank, rank + 6);
        for (std::size_t k = 0; k < cell_.size(); ++k) {
            const auto measured = rank + 6 + static_cast<std::ptrdiff_t>(4 * k);
            if (is_new[k] || measured[0] == 0.0) continue;
            is_new[k] = true;
            std::copy_n(measured + 1, 3, cell_[k].begin());
        }
    }
}

bool RankOwners::find(const System& system, const std::vector<double>& coordinates) {
    why_.clear();
    collect(system);
    learn_regions(coordinates);
    places_.fill(system, coordinates.data(), loose, /*all=*/false, /*side=*/1.0);
    bool complete = resolve(system, coordinates);
    if (ranks_.largest(complete ? 0 : 1) != 0) {
        cell_.clear();
        if (!find_cell(system, coordinates)) return false;
        complete = resolve(system, coordinates);
        if (ranks_.largest(complete ? 0 : 1) != 0) {
            if (complete) why_ = "ghosts of another rank have no owners";
            return false;
        }
    }
    make_plan();
    return true;
}

Place RankOwners::vector_of(const Cells& cells) const {
    Place sum = {};
    for (std::size_t k = 0; k < cell_.size(); ++k) {
        for (std::size_t axis = 0; axis < 3; ++axis) sum[axis] += cells[k] * cell_[k][axis];
    }
    return sum;
}

/// The lowest and highest coordinates of contributing particles of all ranks.
std::pair<Place, Place> RankOwners::region_of_all() const {
    Place low = {}, high = {};
    bool any = false;
    for (std::size_t r = 0; r < regions_.size(); r += 6) {
        if (regions_[r] > regions_[r + 3]) continue;  // of a rank without particles
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const double a = regions_[r + axis], b = regions_[r + 3 + axis];
            low[axis] = any ? std::min(low[axis], a) : a;
            high[axis] = any ? std::max(high[axis], b) : b;
        }
        any = true;
    }
    return {low, high};
}

/// Sums of the cell's vectors by which particles anywhere may be moved to a place between two
/// corners. More than there are, but not many.
std::vector<RankOwners::Cells> RankOwners::cells_in_reach(const Place& low,
                                                          const Place& high) const {
    const auto [all_low, all_high] = region_of_all();
    constexpr int most = 20;
    if (cell_.empty()) return {Cells{}};
    const std::array<Vector, 3> reciprocal = reciprocal_of(cell_);
    std::array<int, 3> from = {}, to = {};
    for (std::size_t k = 0; k < cell_.size(); ++k) {
        // Of the corners of a box, those farthest along the normal.
        double lowest = 0.0, highest = 0.0;
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const double n = reciprocal[k][axis];
            const double a = n * (low[axis] - all_high[axis]), b = n * (high[axis] - all_low[axis]);
            lowest += std::min(a, b);
            highest += std::max(a, b);
        }
        from[k] = std::max(-most, static_cast<int>(std::floor(std::max(lowest, -1e6) - 0.01)));
        to[k] = std::min(most, static_cast<int>(std::ceil(std::min(highest, 1e6) + 0.01)));
    }
    std::vector<Cells> found;
    for (int a = from[0]; a <= to[0]; ++a) {
        for (int b = from[1]; b <= to[1]; ++b) {
            for (int c = from[2]; c <= to[2]; ++c) found.push_back({a, b, c});
        }
    }
    return found;
}

/// Asks the ranks in whose regions owners may be. Whether each ghost has exactly one.
bool RankOwners::resolve(const System& system, const std::vector<double>& coordinates) {
    Place low = {}, high = {};
    for (std::size_t k = 0; k < ghosts_.size(); ++k) {
        const Place place = place_of(coordinates, ghosts_[k].particle);
        for (std::size_t axis = 0; axis < 3; ++axis) {
            low[axis] = k == 0 ? place[axis] : std::min(low[axis], place[axis]);
            high[axis] = k == 0 ? place[axis] : std::max(high[axis], place[axis]);
        }
    }
    const std::vector<Cells> all_cells =
        ghosts_.empty() ? std::vector<Cells>{} : cells_in_reach(low, high);

    struct Candidate {
        int rank;
        std::size_t cells;
        Place vector, low, high;  ///< the region, moved
    };
    std::vector<Candidate> candidates;
    for (std::size_t c = 0; c < all_cells.size(); ++c) {
        const Place vector = vector_of(all_cells[c]);
        for (int rank = 0; rank < ranks_.size(); ++rank) {
            if (rank == ranks_.rank() && all_cells[c] == Cells{}) continue;
            const double* region = regions_.data() + 6 * static_cast<std::size_t>(rank);
            Candidate candidate = {rank, c, vector, {}, {}};
            bool meets = region[0] <= region[3];
            for (std::size_t axis = 0; axis < 3; ++axis) {
                candidate.low[axis] = region[axis] + vector[axis] - loose;
                candidate.high[axis] = region[3 + axis] + vector[axis] + loose;
                meets =
                    meets && candidate.low[axis] <= high[axis] && candidate.high[axis] >= low[axis];
            }
            if (meets) candidates.push_back(candidate);
        }
    }

    std::map<int, std::vector<double>> questions;
    for (std::size_t k = 0; k < ghosts_.size(); ++k) {
        ghosts_[k] = {ghosts_[k].particle};
        const Place place = place_of(coordinates, ghosts_[k].particle);
        for (const Candidate& candidate : candidates) {
            bool inside = true;
            for (std::size_t axis = 0; axis < 3; ++axis) {
                inside = inside && place[axis] >= candidate.low[axis] &&
                         place[axis] <= candidate.high[axis];
            }
            if (!inside) continue;
            const Place owner = minus(place, candidate.vector);
            std::vector<double>& message = questions[candidate.rank];
            message.insert(
                message.end(),
                {static_cast<double>(k), static_cast<double>(candidate.cells), owner[0], owner[1],
                 owner[2], static_cast<double>(system.species[ghosts_[k].particle])});
        }
    }
    std::vector<std::int32_t> number(static_cast<std::size_t>(system.n), -1);
    for (std::size_t k = 0; k < contributing_.size(); ++k) {
        number[static_cast<std::size_t>(contributing_[k])] = static_cast<std::int32_t>(k);
    }
    const auto answer = [&](const std::vector<double>& message) {
        std::vector<double> reply;
        for (std::size_t q = 0; q + 6 <= message.size(); q += 6) {
            const std::int32_t found = places_.at({message[q + 2], message[q + 3], message[q + 4]},
                                                  static_cast<int>(message[q + 5]));
            if (found < 0) continue;
            reply.insert(reply.end(),
                         {message[q], message[q + 1],
                          static_cast<double>(number[static_cast<std::size_t>(found)])});
        }
        return reply;
    };
    std::map<int, std::vector<double>> replies;
    const auto to_myself = questions.find(ranks_.rank());
    std::vector<double> from_myself;
    if (to_myself != questions.end()) {
        from_myself = answer(to_myself->second);
        questions.erase(to_myself);
    }
    for (const auto& [rank, message] : ranks_.scatter(questions)) replies[rank] = answer(message);
    auto answers = ranks_.scatter(replies);
    answers[ranks_.rank()] = std::move(from_myself);

    std::vector<Remote> owners(ghosts_.size(), Remote{-1, -1});
    std::vector<std::int32_t> shift_of_cells(all_cells.size(), -1);
    shifts_.clear();
    bool several = false;
    for (const auto& [rank, reply] : answers) {
        for (std::size_t q = 0; q + 3 <= reply.size(); q += 3) {
            const auto k = static_cast<std::size_t>(reply[q]);
            const auto c = static_cast<std::size_t>(reply[q + 1]);
            several = several || owners[k].rank >= 0;
            owners[k] = {rank, static_cast<std::int32_t>(reply[q + 2])};
            if (shift_of_cells[c] < 0) {
                shift_of_cells[c] = static_cast<std::int32_t>(shifts_.size());
                shifts_.push_back({all_cells[c], {}, all_cells[c] == Cells{}});
            }
            ghosts_[k].shift = shift_of_cells[c];
        }
    }
    if (several) {
        why_ = "two particles of one species are at the same place";
        return false;
    }
    remotes_.clear();
    for (const Remote& owner : owners) {
        if (owner.rank >= 0 && owner.rank != ranks_.rank()) remotes_.push_back(owner);
    }
    std::sort(remotes_.begin(), remotes_.end());
    remotes_.erase(std::unique(remotes_.begin(), remotes_.end()), remotes_.end());
    for (std::size_t k = 0; k < ghosts_.size(); ++k) {
        if (owners[k].rank < 0) {
            why_ = "particle " + std::to_string(ghosts_[k].particle) +
                   ", which does not contribute, is not a periodic image of a particle of any rank";
        } else if (owners[k].rank == ranks_.rank()) {
            ghosts_[k].own = owners[k].index;
        } else {
            ghosts_[k].remote = static_cast<std::int32_t>(
                std::lower_bound(remotes_.begin(), remotes_.end(), owners[k]) - remotes_.begin());
        }
    }
    return std::all_of(ghosts_.begin(), ghosts_.end(),
                       [](const Ghost& ghost) { return ghost.shift >= 0; });
}

/// Fills cell_, the same on all ranks: one vector after the other, from images that no sum of those
/// before leads to.
bool RankOwners::find_cell(const System& system, const std::vector<double>& coordinates) {
    while (true) {
        resolve(system, coordinates);  // leaves what are images
        const std::vector<double> images = ranks_.gather(nearest_image(system, coordinates));
        const std::size_t size = images.size() / static_cast<std::size_t>(ranks_.size());
        std::size_t nearest = 0;
        for (std::size_t k = size; k < images.size(); k += size) {
            if (images[k] < images[nearest]) nearest = k;
        }
        if (images[nearest] == std::numeric_limits<double>::max()) return true;
        // What was found leads nowhere: perhaps to a part of the images only.
        if (cell_.size() == 3) return find_cell_on_first_rank(system, coordinates);
        const auto begin = images.begin() + static_cast<std::ptrdiff_t>(nearest);
        const double n_owners =
            add_vector(system, coordinates, {begin, begin + static_cast<std::ptrdiff_t>(size)});
        if (n_owners == 0.0) {
            if (why_.empty()) why_ = "ghosts of another rank have no owners";
            return false;
        }
        if (n_owners != 1.0 || !are_independent(cell_)) {
            return find_cell_on_first_rank(system, coordinates);
        }
    }
}

/// Of the ghosts without owner, the one nearest to the middle, since the vectors of a cell's faces
/// are the shortest ones: its distance from there, squared; its place and species; the number of
/// particles around it, and of each the place and species. The distance is the largest number if
/// all ghosts have owners.
std::vector<double> RankOwners::nearest_image(const System& system,
                                              const std::vector<double>& coordinates) const {
    const auto [low, high] = region_of_all();
    const Place middle = {(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2};
    std::vector<double> found(6 + 4 * n_companions, 0.0);
    found[0] = std::numeric_limits<double>::max();
    std::int32_t image = -1;
    for (const Ghost& ghost : ghosts_) {
        if (ghost.shift >= 0) continue;
        const Place apart = minus(place_of(coordinates, ghost.particle), middle);
        if (dot(apart, apart) >= found[0]) continue;
        found[0] = dot(apart, apart);
        image = ghost.particle;
    }
    if (image < 0) return found;
    const Place here = place_of(coordinates, image);
    // Farther away there may be particles that were not passed around its owner.
    const double square = cutoff_ * cutoff_ * (1.0 - 1e-9);
    std::vector<std::pair<double, std::int32_t>> around;
    for (std::int32_t i = 0; i < system.n; ++i) {
        const Place apart = minus(place_of(coordinates, i), here);
        if (i != image && dot(apart, apart) < square) around.emplace_back(dot(apart, apart), i);
    }
    const std::size_t kept = std::min(around.size(), n_companions);
    std::partial_sort(around.begin(), around.begin() + static_cast<std::ptrdiff_t>(kept),
                      around.end());
    std::copy(here.begin(), here.end(), found.begin() + 1);
    found[4] = static_cast<double>(system.species[image]);
    found[5] = static_cast<double>(kept);
    for (std::size_t k = 0; k < kept; ++k) {
        const Place place = place_of(coordinates, around[k].second);
        const auto to = found.begin() + 6 + static_cast<std::ptrdiff_t>(4 * k);
        std::copy(place.begin(), place.end(), to);
        to[3] = static_cast<double>(system.species[around[k].second]);
    }
    return found;
}

/// Adds the vector to the cell that leads to an image, as nearest_image() describes it, from the
/// contributing particle of some rank that has the same particles around it. Returns how many
/// particles of all ranks have; nothing is added then unless it is one.
double RankOwners::add_vector(const System& system, const std::vector<double>& coordinates,
                              const std::vector<double>& image) {
    Places all;
    all.fill(system, coordinates.data(), place_tolerance(coordinates), /*all=*/true, /*side=*/1.0);
    const Place place = {image[1], image[2], image[3]};
    std::vector<double> found = {0.0, 0.0, 0.0, 0.0};  // how many, and the last vector
    for (const std::int32_t i : contributing_) {
        if (system.species[i] != static_cast<int>(image[4])) continue;
        const Place vector = minus(place, place_of(coordinates, i));
        bool alike = true;
        for (std::size_t k = 6; alike && k < 6 + 4 * static_cast<std::size_t>(image[5]); k += 4) {
            const Place companion = {image[k], image[k + 1], image[k + 2]};
            alike = all.at(minus(companion, vector), static_cast<int>(image[k + 3])) >= 0;
        }
        if (alike) found = {found[0] + 1.0, vector[0], vector[1], vector[2]};
    }
    found = ranks_.gather(found);
    double n = 0.0;
    Place vector = {};
    for (std::size_t k = 0; k < found.size(); k += 4) {
        n += found[k];
        if (found[k] > 0.0) vector = {found[k + 1], found[k + 2], found[k + 3]};
    }
    if (n == 1.0) cell_.push_back(vector);
    return n;
}

/// The cell's vectors, found by rank 0 from the particles of all ranks, and the images among their
/// ghosts. Fills cell_, the same on all ranks.
bool RankOwners::find_cell_on_first_rank(const System& system,
                                         const std::vector<double>& coordinates) {
    cell_.clear();
    resolve(system, coordinates);
    double n_particles = 0.0;
    for (const double n : ranks_.gather({static_cast<double>(contributing_.size())})) {
        n_particles += n;
    }
    if (n_particles > most_on_first_rank) {
        why_ =
            "several particles could be the owners of images, since they lie in a perfect crystal, "
            "which is too large to look at as a whole";
        return false;
    }
    std::vector<double> own = {static_cast<double>(contributing_.size())};
    const auto append = [&](std::int32_t i) {
        const Place place = place_of(coordinates, i);
        own.insert(own.end(),
                   {place[0], place[1], place[2], static_cast<double>(system.species[i])});
    };
    for (const std::int32_t i : contributing_) append(i);
    for (const Ghost& ghost : ghosts_) {
        if (ghost.shift < 0) append(ghost.particle);
    }
    std::map<int, std::vector<double>> messages;
    if (ranks_.rank() != 0) messages[0] = own;
    auto received = ranks_.scatter(messages);
    std::vector<double> result;
    if (ranks_.rank() == 0) {
        received[0] = std::move(own);
        std::vector<double> x;
        std::vector<int> species, contributing;
        for (const bool mine : {true, false}) {
            for (const auto& [rank, values] : received) {
                const auto middle = 1 + 4 * static_cast<std::size_t>(values[0]);
                const std::size_t from = mine ? 1 : middle, to = mine ? middle : values.size();
                for (std::size_t k = from; k < to; k += 4) {
                    x.insert(x.end(), {values[k], values[k + 1], values[k + 2]});
                    species.push_back(static_cast<int>(values[k + 3]));
                    contributing.push_back(mine ? 1 : 0);
                }
            }
        }
        System whole;
        whole.n = static_cast<std::int64_t>(species.size());
        whole.species = species.data();
        whole.contributing = contributing.data();
        // Several ranks may see the same image: the first one counts.
        Places places;
        places.fill(whole, x.data(), place_tolerance(x), /*all=*/true, /*side=*/1.0);
        std::size_t n = 0;
        std::vector<bool> kept(species.size());
        for (std::size_t k = 0; k < species.size(); ++k) {
            kept[k] = contributing[k] != 0 || places.at({x[3 * k], x[3 * k + 1], x[3 * k + 2]},
                                                        species[k]) == static_cast<std::int32_t>(k);
        }
        for (std::size_t k = 0; k < species.size(); ++k) {
            if (!kept[k]) continue;
            std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(3 * k), 3,
                        x.begin() + static_cast<std::ptrdiff_t>(3 * n));
            species[n] = species[k];
            contributing[n++] = contributing[k];
        }
        x.resize(3 * n);
        whole.n = static_cast<std::int64_t>(n);
        ImageOwners owners;
        std::string why;
        bool known = owners.update(whole, x, cutoff_);
        if (!known) {
            why = owners.why();
        } else if (owners.had_choice()) {
            std::vector<double> vectors;
            NeighbourRows rows;
            rows.starts = {0};
            places.fill(whole, x.data(), 0.0, /*all=*/true, cutoff_);
            for (std::int32_t i = 0; i < whole.n; ++i) {
                if (contributing[static_cast<std::size_t>(i)] == 0) continue;
                const Place here = place_of(x, i);
                places.for_each_within(here, cutoff_, [&](std::int32_t j) {
                    if (j == i) return;
                    const Place vector = minus(place_of(x, j), here);
                    rows.sender.push_back(j);
                    vectors.insert(vectors.end(), vector.begin(), vector.end());
                });
                rows.starts.push_back(rows.sender.size());
            }
            rows.vectors = vectors.data();
            known = any_choice_is_alike(owners, whole, x, rows, cutoff_);
            if (!known) {
                why =
                    "several particles could be the owners of images, since they lie in a "
                    "perfect crystal, and they differ in what is around them";
            }
        }
        result.push_back(known ? 1.0 : 0.0);
        if (known) {
            for (const Place& vector : owners.cell()) {
                result.insert(result.end(), vector.begin(), vector.end());
            }
        } else {
            append_text(result, why);
        }
    }
    result = ranks_.from_first(std::move(result));
    cell_.clear();
    if (result[0] == 0.0) {
        why_.clear();
        for (std::size_t k = 2; k < result.size(); ++k) {
            why_.push_back(static_cast<char>(static_cast<unsigned char>(result[k])));
        }
        return false;
    }
    for (std::size_t k = 1; k + 3 <= result.size(); k += 3) {
        cell_.push_back({result[k], result[k + 1], result[k + 2]});
    }
    return true;
}

/// Tells the owners which of their particles this rank needs.
void RankOwners::make_plan() {
    std::map<int, std::vector<double>> wanted;
    for (const Remote& remote : remotes_) {
        wanted[remote.rank].push_back(static_cast<double>(remote.index));
    }
    const auto received = ranks_.scatter(wanted);
    std::map<int, Neighbour> neighbours;
    for (const auto& [rank, indices] : received) {
        Neighbour& other = neighbours[rank];
        for (const double index : indices) {
            other.wanted.push_back(static_cast<std::int32_t>(index));
        }
    }
    for (std::size_t k = 0; k < remotes_.size(); ++k) {
        Neighbour& other = neighbours[remotes_[k].rank];
        if (other.first == other.last) other.first = static_cast<std::int32_t>(k);
        other.last = static_cast<std::int32_t>(k + 1);
    }
    neighbours_.clear();
    for (auto& [rank, other] : neighbours) {
        other.rank = rank;
        neighbours_.push_back(std::move(other));
    }
    out_.assign(neighbours_.size(), {});
    in_.assign(neighbours_.size(), {});
}

/// Whether this rank's particles are those of the plan.
bool RankOwners::is_alike(const System& system) const {
    if (static_cast<std::size_t>(system.n) != ghost_of_.size()) return false;
    std::size_t n_contributing = 0;
    for (std::int64_t i = 0; i < system.n; ++i) n_contributing += system.contributing[i] != 0;
    return n_contributing == contributing_.size() &&
           std::all_of(contributing_.begin(), contributing_.end(),
                       [&](std::int32_t i) { return system.contributing[i] != 0; });
}

/// Sends positions to where they are needed, and compares. Collective, though not its answer.
bool RankOwners::verify(const System& system, const std::vector<double>& coordinates, Edges edges) {
    const double nowhere = std::numeric_limits<double>::quiet_NaN();
    bool holds = is_alike(system);

    // The particles that each neighbour needs: those that one of its own sends to.
    std::vector<std::vector<char>> used(neighbours_.size());
    std::vector<std::int32_t> number(static_cast<std::size_t>(system.n), -1);
    std::vector<std::int32_t> neighbour_of(remotes_.size());
    for (std::size_t k = 0; k < neighbours_.size(); ++k) {
        used[k].assign(contributing_.size(), 0);
        for (std::int32_t r = neighbours_[k].first; r < neighbours_[k].last; ++r) {
            neighbour_of[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(k);
        }
    }
    if (holds) {
        for (std::size_t k = 0; k < contributing_.size(); ++k) {
            number[static_cast<std::size_t>(contributing_[k])] = static_cast<std::int32_t>(k);
        }
        for (std::size_t edge = 0; edge < edges.receiver.size() && holds; ++edge) {
            const auto sender = static_cast<std::size_t>(edges.sender[edge]);
            if (number[sender] >= 0) continue;
            const std::int32_t g = ghost_of_[sender];
            if (g < 0) {
                holds = false;
                break;
            }
            const std::int32_t remote = ghosts_[static_cast<std::size_t>(g)].remote;
            if (remote < 0) continue;
            const auto receiver = static_cast<std::size_t>(edges.receiver[edge]);
            const auto k = static_cast<std::size_t>(neighbour_of[static_cast<std::size_t>(remote)]);
            used[k][static_cast<std::size_t>(number[receiver])] = 1;
        }
    }
    std::vector<Ranks::Message> out, in;
    for (std::size_t k = 0; k < neighbours_.size(); ++k) {
        const Neighbour& other = neighbours_[k];
        out_[k].clear();
        for (const std::int32_t index : other.wanted) {
            Row row = {nowhere, nowhere, nowhere, nowhere, 0.0};
            if (holds) {
                const std::int32_t i = contributing_[static_cast<std::size_t>(index)];
                const Place place = place_of(coordinates, i);
                row = {place[0], place[1], place[2], static_cast<double>(system.species[i]),
                       static_cast<double>(used[k][static_cast<std::size_t>(index)])};
            }
            out_[k].push_back(row);
        }
        in_[k].resize(static_cast<std::size_t>(other.last - other.first));
        out.push_back(
            {other.rank, reinterpret_cast<char*>(out_[k].data()), out_[k].size() * sizeof(Row)});
        in.push_back(
            {other.rank, reinterpret_cast<char*>(in_[k].data()), in_[k].size() * sizeof(Row)});
    }
    ranks_.exchange(out, in);
    if (!holds) return false;

    // Nodes: this rank's, then those that others say they use here, too.
    nodes_.assign(static_cast<std::size_t>(system.n), -1);
    for (std::size_t k = 0; k < contributing_.size(); ++k) {
        nodes_[static_cast<std::size_t>(contributing_[k])] = static_cast<std::int64_t>(k);
    }
    remote_species_.clear();
    out_nodes_.assign(neighbours_.size(), {});
    in_nodes_.assign(neighbours_.size(), {});
    std::vector<std::int64_t> node_of_remote(remotes_.size(), -1);
    std::vector<const Row*> row_of_remote(remotes_.size());
    for (std::size_t k = 0; k < neighbours_.size(); ++k) {
        for (std::size_t r = 0; r < out_[k].size(); ++r) {
            if (out_[k][r].used != 0.0) out_nodes_[k].push_back(neighbours_[k].wanted[r]);
        }
        for (std::size_t r = 0; r < in_[k].size(); ++r) {
            const auto remote = static_cast<std::size_t>(neighbours_[k].first) + r;
            row_of_remote[remote] = &in_[k][r];
            if (in_[k][r].used == 0.0) continue;
            node_of_remote[remote] =
                static_cast<std::int64_t>(contributing_.size() + remote_species_.size());
            in_nodes_[k].push_back(node_of_remote[remote]);
            remote_species_.push_back(static_cast<std::int32_t>(in_[k][r].species));
        }
    }

    const double tolerance = place_tolerance(coordinates);
    for (Shift& shift : shifts_) {
        shift.measured = shift.cells == Cells{};
        shift.vector = {};
    }
    for (const Ghost& ghost : ghosts_) {
        const Place place = place_of(coordinates, ghost.particle);
        Place owner;
        int species = 0;
        if (ghost.remote >= 0) {
            const Row& row = *row_of_remote[static_cast<std::size_t>(ghost.remote)];
            owner = {row.x, row.y, row.z};
            species = std::isnan(row.species) ? -1 : static_cast<int>(row.species);
            nodes_[static_cast<std::size_t>(ghost.particle)] =
                node_of_remote[static_cast<std::size_t>(ghost.remote)];
        } else {
            const std::int32_t i = contributing_[static_cast<std::size_t>(ghost.own)];
            owner = place_of(coordinates, i);
            species = system.species[i];
            nodes_[static_cast<std::size_t>(ghost.particle)] = ghost.own;
        }
        Shift& shift = shifts_[static_cast<std::size_t>(ghost.shift)];
        const Place vector = minus(place, owner);
        if (!shift.measured) {
            shift.vector = vector;
            shift.measured = true;
            // Between two searches a cell changes little.
            if (!agree(vector, vector_of(shift.cells), 20.0 * loose)) return false;
        }
        if (system.contributing[ghost.particle] != 0 || system.species[ghost.particle] != species ||
            !agree(vector, shift.vector, 10.0 * tolerance)) {
            why_ = "particle " + std::to_string(ghost.particle) +
                   " is not where its owner's image "
                   "should be";
            return false;
        }
    }
    // A pair whose distance is the cutoff, to rounding, may be one for this rank only.
    std::size_t kept = 0;
    for (std::size_t edge = 0; edge < edges.receiver.size(); ++edge) {
        const double* r = edges.vectors.data() + 3 * edge;
        if (nodes_[static_cast<std::size_t>(edges.sender[edge])] < 0) {
            if (std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]) < cutoff_ - rounding) {
                why_ = "two ranks differ in which particles are neighbours";
                return false;
            }
            continue;
        }
        if (kept != edge) {
            edges.receiver[kept] = edges.receiver[edge];
            edges.sender[kept] = edges.sender[edge];
            std::copy_n(r, 3, edges.vectors.begin() + static_cast<std::ptrdiff_t>(3 * kept));
        }
        ++kept;
    }
    edges.receiver.resize(kept);
    edges.sender.resize(kept);
    edges.vectors.resize(3 * kept);
    return true;
}

}  // namespace torchml
