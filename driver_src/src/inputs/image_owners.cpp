#include "inputs/image_owners.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace torchml {

namespace {

using Vector = std::array<double, 3>;

/// Å; small beside distances between atoms, so that few share a cell.
constexpr double cell_side = 1.0;
/// How many particles around an image have to be found around its owner, too.
constexpr std::size_t n_companions = 8;

/// Å: how exactly an image lies where it should; simulators add a vector to their particles'
/// coordinates, and units may be converted.
double tolerance_of(const std::vector<double>& coordinates) {
    double largest = 0.0;
    for (const double x : coordinates) largest = std::max(largest, std::abs(x));
    return 1e-9 + 1e-13 * largest;
}

Vector difference(const double* a, const double* b) {
    return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

Vector place_before(const double* place, const Vector& shift) {
    return {place[0] - shift[0], place[1] - shift[1], place[2] - shift[2]};
}

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Vector cross(const Vector& a, const Vector& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

bool near(const Vector& a, const Vector& b, double tolerance) {
    return std::abs(a[0] - b[0]) <= tolerance && std::abs(a[1] - b[1]) <= tolerance &&
           std::abs(a[2] - b[2]) <= tolerance;
}

std::int64_t cell_of(double x) { return static_cast<std::int64_t>(std::floor(x / cell_side)); }

}  // namespace

void ImageOwners::Places::fill(const System& system, const std::vector<double>& coordinates,
                               double tolerance, bool all) {
    system_ = &system;
    coordinates_ = coordinates.data();
    tolerance_ = tolerance;
    std::size_t size = 64;
    while (size < static_cast<std::size_t>(system.n)) size *= 2;
    heads_.assign(size, -1);
    next_.assign(static_cast<std::size_t>(system.n), -1);
    for (std::int64_t i = system.n - 1; i >= 0; --i) {
        if (!all && system.contributing[i] == 0) continue;
        const double* x = coordinates_ + 3 * i;
        std::int32_t& head = heads_[slot_of(cell_of(x[0]), cell_of(x[1]), cell_of(x[2]))];
        next_[static_cast<std::size_t>(i)] = head;
        head = static_cast<std::int32_t>(i);
    }
}

std::size_t ImageOwners::Places::slot_of(std::int64_t x, std::int64_t y, std::int64_t z) const {
    auto hash = static_cast<std::uint64_t>(x) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ static_cast<std::uint64_t>(y)) * 0xC2B2AE3D27D4EB4Fu;
    hash = (hash ^ (hash >> 29) ^ static_cast<std::uint64_t>(z)) * 0x165667B19E3779F9u;
    return (hash >> 32) & (heads_.size() - 1);
}

std::int32_t ImageOwners::Places::at(const Vector& place, int species) const {
    // A place beside a cell's wall may be in the next one.
    std::int64_t low[3], high[3];
    for (std::size_t axis = 0; axis < 3; ++axis) {
        low[axis] = cell_of(place[axis] - tolerance_);
        high[axis] = cell_of(place[axis] + tolerance_);
    }
    for (std::int64_t x = low[0]; x <= high[0]; ++x) {
        for (std::int64_t y = low[1]; y <= high[1]; ++y) {
            for (std::int64_t z = low[2]; z <= high[2]; ++z) {
                for (std::int32_t i = heads_[slot_of(x, y, z)]; i >= 0;
                     i = next_[static_cast<std::size_t>(i)]) {
                    const double* other = coordinates_ + 3 * static_cast<std::size_t>(i);
                    if (system_->species[i] == species &&
                        near(place, {other[0], other[1], other[2]}, tolerance_)) {
                        return i;
                    }
                }
            }
        }
    }
    return -1;
}

bool ImageOwners::update(const System& system, const std::vector<double>& coordinates) {
    found_anew_ = false;
    if (known_ && still_hold(system, coordinates)) return true;
    found_anew_ = true;
    ambiguous_ = false;
    known_ = find(system, coordinates);
    return known_;
}

bool ImageOwners::still_hold(const System& system, const std::vector<double>& coordinates) {
    if (static_cast<std::size_t>(system.n) != owners_.size()) return false;
    const double tolerance = tolerance_of(coordinates);
    const double* x = coordinates.data();
    for (const std::int32_t i : contributing_) {
        if (system.contributing[i] == 0) return false;
    }
    // A cell may change its size and shape: its vectors are measured anew.
    for (Shift& shift : shifts_) {
        const std::int32_t owner = owners_[static_cast<std::size_t>(shift.image)];
        shift.vector = difference(x + 3 * static_cast<std::size_t>(shift.image),
                                  x + 3 * static_cast<std::size_t>(owner));
    }
    for (std::size_t k = 0; k < ghosts_.size(); ++k) {
        const auto ghost = static_cast<std::size_t>(ghosts_[k]);
        const auto owner = static_cast<std::size_t>(owners_[ghost]);
        if (system.contributing[ghost] != 0 || system.species[ghost] != system.species[owner] ||
            !near(difference(x + 3 * ghost, x + 3 * owner),
                  shifts_[static_cast<std::size_t>(shift_of_[ghost])].vector, tolerance)) {
            return false;
        }
    }
    return is_lattice(tolerance);
}

/// By the distance from the middle of the contributing particles.
void ImageOwners::sort_by_distance(std::vector<std::int32_t>& particles,
                                   const std::vector<double>& coordinates) const {
    Vector middle = {};
    for (const std::int32_t i : contributing_) {
        for (std::size_t axis = 0; axis < 3; ++axis) {
            middle[axis] += coordinates[3 * static_cast<std::size_t>(i) + axis] /
                            static_cast<double>(contributing_.size());
        }
    }
    std::vector<std::pair<double, std::int32_t>> sorted;
    for (const std::int32_t i : particles) {
        const Vector apart =
            place_before(coordinates.data() + 3 * static_cast<std::size_t>(i), middle);
        sorted.emplace_back(dot(apart, apart), i);
    }
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t k = 0; k < sorted.size(); ++k) particles[k] = sorted[k].second;
}

bool ImageOwners::find(const System& system, const std::vector<double>& coordinates) {
    const double tolerance = tolerance_of(coordinates);
    const auto n = static_cast<std::size_t>(system.n);
    contributing_.clear();
    ghosts_.clear();
    owners_.assign(n, -1);
    shift_of_.assign(n, -1);
    for (std::size_t i = 0; i < n; ++i) {
        (system.contributing[i] != 0 ? contributing_ : ghosts_)
            .push_back(static_cast<std::int32_t>(i));
        if (system.contributing[i] != 0) owners_[i] = static_cast<std::int32_t>(i);
    }
    places_.fill(system, coordinates, tolerance, /*all=*/false);
    all_places_.clear();
    // Those of the last time mostly hold again.
    std::vector<Shift> known = std::move(shifts_);
    shifts_.clear();
    alternatives_.clear();
    std::size_t last = 0;
    const double* x = coordinates.data();
    const auto assign = [&](std::int32_t ghost, std::size_t number) {
        const auto place = static_cast<std::size_t>(ghost);
        const std::int32_t owner =
            places_.at(place_before(x + 3 * place, shifts_[number].vector), system.species[ghost]);
        if (owner < 0) return false;
        owners_[place] = owner;
        shift_of_[place] = static_cast<std::int32_t>(number);
        last = number;
        return true;
    };
    // In a crystal several vectors may fit. The shortest ones are a cell's: nearest images first.
    if (ambiguous_) sort_by_distance(ghosts_, coordinates);
    for (const std::int32_t ghost : ghosts_) {
        if (!shifts_.empty() && assign(ghost, last)) continue;
        bool done = false;
        for (std::size_t number = 0; number < shifts_.size() && !done; ++number) {
            done = assign(ghost, number);
        }
        for (std::size_t k = 0; k < known.size() && !done; ++k) {
            const Vector place =
                place_before(x + 3 * static_cast<std::size_t>(ghost), known[k].vector);
            const std::int32_t owner = places_.at(place, system.species[ghost]);
            if (owner < 0) continue;
            shifts_.push_back({difference(x + 3 * static_cast<std::size_t>(ghost),
                                          x + 3 * static_cast<std::size_t>(owner)),
                               ghost});
            done = assign(ghost, shifts_.size() - 1);
        }
        if (done) continue;
        const bool found = find_shift(ghost, system, coordinates);
        if (!alternatives_.empty() && !ambiguous_) {
            ambiguous_ = true;
            return find(system, coordinates);
        }
        if (!found || !assign(ghost, shifts_.size() - 1)) {
            shifts_.clear();
            why_ = "particle " + std::to_string(ghost) +
                   ", which does not contribute, is not a periodic image of a particle of this "
                   "process";
            return false;
        }
    }
    if (!is_lattice(tolerance)) return false;
    certain_ = alternatives_are_alike(system, coordinates);
    return true;
}

/// Finds the vector by which an image is moved, among those from contributing particles of its
/// species: what is around the image is then around its owner, too, and no contributing particle is
/// an image of another one. Of several, as crystals have them, the shortest.
bool ImageOwners::find_shift(std::int32_t image, const System& system,
                             const std::vector<double>& coordinates) {
    if (!all_places_.is_filled()) {
        all_places_.fill(system, coordinates, tolerance_of(coordinates), /*all=*/true);
    }
    const double* x = coordinates.data();
    const double* place = x + 3 * static_cast<std::size_t>(image);
    std::vector<std::pair<double, std::int32_t>> nearest(static_cast<std::size_t>(system.n));
    for (std::size_t i = 0; i < nearest.size(); ++i) {
        const Vector apart = difference(x + 3 * i, place);
        nearest[i] = {dot(apart, apart), static_cast<std::int32_t>(i)};
    }
    const auto kept = static_cast<std::ptrdiff_t>(std::min(nearest.size(), n_companions + 1));
    std::partial_sort(nearest.begin(), nearest.begin() + kept, nearest.end());
    nearest.resize(static_cast<std::size_t>(kept));

    std::vector<std::pair<double, Vector>> candidates;
    for (const std::int32_t owner : contributing_) {
        if (system.species[owner] != system.species[image]) continue;
        const Vector shift = difference(place, x + 3 * static_cast<std::size_t>(owner));
        const bool alike = std::all_of(nearest.begin(), nearest.end(), [&](const auto& other) {
            const auto i = static_cast<std::size_t>(other.second);
            return all_places_.at(place_before(x + 3 * i, shift), system.species[i]) >= 0;
        });
        if (alike) candidates.emplace_back(dot(shift, shift), shift);
    }
    if (candidates.size() > 1) {  // as in crystals
        std::sort(candidates.begin(), candidates.end());
        candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                        [&](const auto& candidate) {
                                            return !is_of_lattice(candidate.second, system,
                                                                  coordinates);
                                        }),
                         candidates.end());
        for (std::size_t k = 1; k < candidates.size(); ++k) {
            alternatives_.push_back(
                place_before(candidates[k].second.data(), candidates[0].second));
        }
    }
    if (candidates.empty()) return false;
    shifts_.push_back({candidates[0].second, image});
    return true;
}

/// Whether neither a vector nor its sums with those already found lead from a contributing particle
/// to another one, which is no image.
bool ImageOwners::is_of_lattice(const Vector& shift, const System& system,
                                const std::vector<double>& coordinates) const {
    const double tolerance = tolerance_of(coordinates);
    const auto fits = [&](const Vector& vector) {
        return near(vector, {}, tolerance) || !maps_owners_to_owners(vector, system, coordinates);
    };
    if (!fits(shift)) return false;
    return std::all_of(shifts_.begin(), shifts_.end(), [&](const Shift& other) {
        const Vector& v = other.vector;
        return fits(place_before(shift.data(), v)) &&
               fits({shift[0] + v[0], shift[1] + v[1], shift[2] + v[2]});
    });
}

/// Whether all the owners that would have been possible, too, are alike: what leads from one choice
/// to another leads every particle to one of its species, or to an image of one.
bool ImageOwners::alternatives_are_alike(const System& system,
                                         const std::vector<double>& coordinates) const {
    const double* x = coordinates.data();
    const auto finds = [&](const Vector& place, int species) {
        return places_.at(place, species) >= 0 ||
               std::any_of(shifts_.begin(), shifts_.end(), [&](const Shift& shift) {
                   return places_.at(place_before(place.data(), shift.vector), species) >= 0;
               });
    };
    return std::all_of(alternatives_.begin(), alternatives_.end(), [&](const Vector& vector) {
        return std::all_of(contributing_.begin(), contributing_.end(), [&](std::int32_t i) {
            return finds(place_before(x + 3 * static_cast<std::size_t>(i), vector),
                         system.species[i]);
        });
    });
}

bool ImageOwners::maps_owners_to_owners(const Vector& shift, const System& system,
                                        const std::vector<double>& coordinates) const {
    const double* x = coordinates.data();
    return std::any_of(contributing_.begin(), contributing_.end(), [&](std::int32_t i) {
        return places_.at(place_before(x + 3 * static_cast<std::size_t>(i), shift),
                          system.species[i]) >= 0;
    });
}

/// Whether the vectors are sums of at most three of them: the shortest ones that lead in different
/// directions, which are a basis if the images are those of a periodic cell.
bool ImageOwners::is_lattice(double tolerance) {
    std::vector<Vector> vectors;
    vectors.reserve(shifts_.size());
    for (const Shift& shift : shifts_) vectors.push_back(shift.vector);
    std::sort(vectors.begin(), vectors.end(),
              [](const Vector& a, const Vector& b) { return dot(a, a) < dot(b, b); });
    constexpr double flat = 1e-8;  // relative: less is no other direction
    std::vector<Vector> basis;
    for (const Vector& vector : vectors) {
        const double length = std::sqrt(dot(vector, vector));
        bool other = length > tolerance;
        if (basis.size() == 1) {
            const Vector area = cross(basis[0], vector);
            other = std::sqrt(dot(area, area)) > flat * length * std::sqrt(dot(basis[0], basis[0]));
        } else if (basis.size() == 2) {
            const Vector area = cross(basis[0], basis[1]);
            other = std::abs(dot(area, vector)) > flat * length * std::sqrt(dot(area, area));
        } else if (basis.size() == 3) {
            break;
        }
        if (other) basis.push_back(vector);
    }
    // Directions that are missing are filled up, and must not be used.
    const std::size_t rank = basis.size();
    if (rank == 0) return vectors.empty();
    if (rank == 1) {
        const Vector& b = basis[0];
        const std::size_t smallest = static_cast<std::size_t>(
            std::min_element(b.begin(), b.end(),
                             [](double p, double q) { return std::abs(p) < std::abs(q); }) -
            b.begin());
        Vector axis = {};
        axis[smallest] = std::sqrt(dot(b, b));
        basis.push_back(cross(b, axis));
    }
    if (rank <= 2) basis.push_back(cross(basis[0], basis[1]));
    const double volume = dot(cross(basis[0], basis[1]), basis[2]);
    for (const Vector& vector : vectors) {
        const std::array<double, 3> parts = {dot(cross(basis[1], basis[2]), vector) / volume,
                                             dot(cross(basis[2], basis[0]), vector) / volume,
                                             dot(cross(basis[0], basis[1]), vector) / volume};
        Vector sum = {};
        double steps = 1.0;
        for (std::size_t k = 0; k < 3; ++k) {
            const double whole = k < rank ? std::round(parts[k]) : 0.0;
            steps += std::abs(whole);
            for (std::size_t axis = 0; axis < 3; ++axis) sum[axis] += whole * basis[k][axis];
        }
        if (!near(sum, vector, 2.0 * steps * tolerance)) {
            why_ = "the periodic images that the simulator passes are not those of one cell";
            return false;
        }
    }
    return true;
}

}  // namespace torchml
