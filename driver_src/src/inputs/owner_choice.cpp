#include "inputs/owner_choice.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

namespace torchml {

namespace {

/// Å; how exactly the surroundings of two particles of a crystal agree.
constexpr double tolerance = 1e-7;

/// Contributing particles in classes: translations under which the system looks the same lead from
/// each particle of a class to all others, or to images of theirs.
class Classes {
  public:
    Classes(const ImageOwners& owners, const System& system, const std::vector<double>& coordinates,
            const NeighbourRows& rows, double cutoff)
        : owners_(owners), system_(system), x_(coordinates), rows_(rows), cutoff_(cutoff) {
        number_.assign(static_cast<std::size_t>(system.n), 0);
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (system.contributing[i] == 0) continue;
            number_[static_cast<std::size_t>(i)] = particles_.size();
            particles_.push_back(static_cast<std::int32_t>(i));
        }
        parent_.resize(particles_.size());
        std::iota(parent_.begin(), parent_.end(), std::size_t{0});
    }

    /// False if it takes too long.
    bool find() {
        std::vector<std::pair<double, std::size_t>> first_ones;  // by what tells most of them apart
        for (std::size_t k = 0; k < particles_.size(); ++k) {
            double sum = 0.0;
            for (std::size_t e = 3 * rows_.starts[k]; e < 3 * rows_.starts[k + 1]; ++e) {
                sum += rows_.vectors[e] * rows_.vectors[e];
            }
            const double error = tolerance * (1.0 + sum);
            const auto low = std::lower_bound(first_ones.begin(), first_ones.end(),
                                              std::make_pair(sum - error, std::size_t{0}));
            bool is_new = true;
            for (auto other = low; other != first_ones.end() && other->first <= sum + error;
                 ++other) {
                if (class_of(k) == class_of(other->second) ||
                    (have_equal_rows(k, other->second) && unite(k, other->second))) {
                    is_new = false;
                    break;
                }
                if (n_looks_ > most_looks) return false;
            }
            const auto place = std::upper_bound(low, first_ones.end(), std::make_pair(sum, k));
            if (is_new) first_ones.insert(place, {sum, k});
        }
        // What united two particles may have united the first ones of two classes, too.
        std::vector<std::size_t> known;
        for (const auto& [sum, k] : first_ones) known.push_back(class_of(k));
        for (std::size_t k = 0; k < first_ones.size(); ++k) {
            const auto here = known.begin() + static_cast<std::ptrdiff_t>(k);
            if (std::find(known.begin(), here, *here) == here) {
                examples_.push_back(first_ones[k].second);
            }
            if ((n_looks_ += static_cast<std::int64_t>(k)) > most_looks) return false;
        }
        for (const std::size_t k : examples_) {
            for (std::size_t e = rows_.starts[k]; e < rows_.starts[k + 1]; ++e) {
                by_x_.push_back({rows_.vectors[3 * e], e, k});
            }
        }
        std::sort(by_x_.begin(), by_x_.end());
        return true;
    }

    /// Whether only particles of its chosen owner's class can be an image's owner. `edges`: those
    /// that lead to the image.
    bool only_own_fits(std::int32_t image, const std::vector<std::size_t>& edges,
                       const std::vector<std::int32_t>& receivers) {
        const std::size_t own = number(owners_.owners()[static_cast<std::size_t>(image)]);
        if (!sees(own, image, edges, receivers)) return false;
        const double x = -rows_.vectors[3 * edges.front()];
        auto other = std::lower_bound(by_x_.begin(), by_x_.end(), Edge{x - tolerance, 0, 0});
        for (; other != by_x_.end() && other->x <= x + tolerance; ++other) {
            ++n_looks_;
            if (class_of(other->row) == class_of(own) ||
                !are_opposite(other->edge, edges.front()) ||
                !sees(other->row, image, edges, receivers)) {
                continue;
            }
            if (!lacks_neighbours_of(other->row, image)) return false;
        }
        return n_looks_ <= most_looks;
    }

  private:
    /// Beyond, nobody would wait for an answer: some seconds.
    static constexpr std::int64_t most_looks = 100'000'000;

    /// Of the examples' rows.
    struct Edge {
        double x;
        std::size_t edge, row;
        bool operator<(const Edge& other) const { return x < other.x; }
    };

    std::size_t number(std::int32_t particle) const {
        return number_[static_cast<std::size_t>(particle)];
    }

    std::size_t class_of(std::size_t k) {
        while (parent_[k] != k) k = parent_[k] = parent_[parent_[k]];
        return k;
    }

    int species(std::size_t k) const { return system_.species[particles_[k]]; }

    bool have_equal_rows(std::size_t a, std::size_t b) {
        const std::size_t count = rows_.starts[a + 1] - rows_.starts[a];
        if (species(a) != species(b) || count != rows_.starts[b + 1] - rows_.starts[b]) {
            return false;
        }
        for (std::size_t e = rows_.starts[a]; e < rows_.starts[a + 1]; ++e) {
            const Vector vector = {rows_.vectors[3 * e], rows_.vectors[3 * e + 1],
                                   rows_.vectors[3 * e + 2]};
            if (!has_edge(b, vector, system_.species[rows_.sender[e]])) return false;
        }
        return true;
    }

    /// Puts what the way from one particle to the other leads to into the same classes, if the
    /// system repeats by it.
    bool unite(std::size_t a, std::size_t b) {
        Vector way = {};
        for (std::size_t axis = 0; axis < 3; ++axis) {
            way[axis] = x_[3 * static_cast<std::size_t>(particles_[a]) + axis] -
                        x_[3 * static_cast<std::size_t>(particles_[b]) + axis];
        }
        n_looks_ += system_.n;
        if (!owners_.repeat_by(way, led_to_)) return false;
        for (std::size_t k = 0; k < led_to_.size(); ++k) {
            parent_[class_of(k)] = class_of(number(led_to_[k]));
        }
        return class_of(a) == class_of(b);
    }

    bool has_edge(std::size_t k, const Vector& vector, int sender_species) {
        for (std::size_t e = rows_.starts[k]; e < rows_.starts[k + 1]; ++e) {
            ++n_looks_;
            const double* other = rows_.vectors + 3 * e;
            if (std::abs(other[0] - vector[0]) < tolerance &&
                std::abs(other[1] - vector[1]) < tolerance &&
                std::abs(other[2] - vector[2]) < tolerance &&
                system_.species[rows_.sender[e]] == sender_species) {
                return true;
            }
        }
        return false;
    }

    bool are_opposite(std::size_t a, std::size_t b) const {
        const double *u = rows_.vectors + 3 * a, *v = rows_.vectors + 3 * b;
        return std::abs(u[0] + v[0]) < tolerance && std::abs(u[1] + v[1]) < tolerance &&
               std::abs(u[2] + v[2]) < tolerance;
    }

    /// Whether particle k sees, in the opposite directions, what sees the image.
    bool sees(std::size_t k, std::int32_t image, const std::vector<std::size_t>& edges,
              const std::vector<std::int32_t>& receivers) {
        if (species(k) != system_.species[image]) return false;
        return std::all_of(edges.begin(), edges.end(), [&](std::size_t edge) {
            const double* r = rows_.vectors + 3 * edge;
            return has_edge(k, {-r[0], -r[1], -r[2]}, system_.species[receivers[edge]]);
        });
    }

    /// Whether the image is without a neighbour that particle k has, where all particles are known.
    bool lacks_neighbours_of(std::size_t k, std::int32_t image) {
        const double* x = x_.data() + 3 * static_cast<std::size_t>(image);
        for (std::size_t e = rows_.starts[k]; e < rows_.starts[k + 1]; ++e) {
            const double* r = rows_.vectors + 3 * e;
            n_looks_ += 10;
            if (owners_.lacks({x[0] + r[0], x[1] + r[1], x[2] + r[2]},
                              system_.species[rows_.sender[e]], cutoff_)) {
                return true;
            }
        }
        return false;
    }

    const ImageOwners& owners_;
    const System& system_;
    const std::vector<double>& x_;
    const NeighbourRows& rows_;
    double cutoff_;
    std::vector<std::int32_t> particles_;  // that contribute
    std::vector<std::size_t> number_;      // of each particle: which of those it is
    std::vector<std::size_t> parent_;      // of each of those: in the tree of its class
    std::vector<std::size_t> examples_;    // one of each class
    std::vector<Edge> by_x_;
    std::vector<std::int32_t> led_to_;
    std::int64_t n_looks_ = 0;
};

}  // namespace

bool any_choice_is_alike(const ImageOwners& owners, const System& system,
                         const std::vector<double>& coordinates, const NeighbourRows& rows,
                         double cutoff) {
    std::vector<std::int32_t> receivers(rows.sender.size());
    std::vector<std::pair<std::int32_t, std::size_t>> to_images;
    std::size_t row = 0;
    for (std::int32_t i = 0; i < system.n; ++i) {
        if (system.contributing[i] == 0) continue;
        for (std::size_t edge = rows.starts[row]; edge < rows.starts[row + 1]; ++edge) {
            receivers[edge] = i;
            const std::int32_t j = rows.sender[edge];
            if (system.contributing[j] == 0) to_images.emplace_back(j, edge);
        }
        ++row;
    }
    std::sort(to_images.begin(), to_images.end());

    Classes classes(owners, system, coordinates, rows, cutoff);
    if (!classes.find()) return false;
    std::vector<std::size_t> edges;
    for (std::size_t k = 0; k < to_images.size();) {
        const std::int32_t image = to_images[k].first;
        edges.clear();
        for (; k < to_images.size() && to_images[k].first == image; ++k) {
            edges.push_back(to_images[k].second);
        }
        if (!classes.only_own_fits(image, edges, receivers)) return false;
    }
    return owners.predict_only_particles(cutoff);
}

}  // namespace torchml
