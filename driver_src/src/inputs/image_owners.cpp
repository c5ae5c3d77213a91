#include "inputs/image_owners.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace torchml {

namespace {

/// Å; small beside distances between atoms, so that few share a cell.
constexpr double cell_side = 1.0;
/// Å; a place is sought in all cells that are so near to it.
constexpr double largest_tolerance = 1e-3;

Vector difference(const double* a, const double* b) {
    return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

Vector place_before(const double* place, const Vector& shift) {
    return {place[0] - shift[0], place[1] - shift[1], place[2] - shift[2]};
}

}  // namespace

bool ImageOwners::update(const System& system, const std::vector<double>& coordinates, double reach,
                         bool look_for_choice) {
    found_anew_ = false;
    look_for_choice_ = look_for_choice;
    if (known_ && still_hold(system, coordinates)) return true;
    found_anew_ = true;
    reach_ = reach;
    known_ = find(system, coordinates);
    return known_;
}

bool ImageOwners::still_hold(const System& system, const std::vector<double>& coordinates) {
    if (static_cast<std::size_t>(system.n) != owners_.size()) return false;
    const double tolerance = place_tolerance(coordinates);
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
    for (const std::int32_t image : images_) {
        const auto ghost = static_cast<std::size_t>(image);
        const auto owner = static_cast<std::size_t>(owners_[ghost]);
        if (system.contributing[ghost] != 0 || system.species[ghost] != system.species[owner] ||
            !agree(difference(x + 3 * ghost, x + 3 * owner),
                   shifts_[static_cast<std::size_t>(shift_of_[ghost])].vector, tolerance)) {
            return false;
        }
    }
    std::vector<Vector> cell(cell_.size());
    for (const Shift& shift : shifts_) {
        int sum = 0;
        std::size_t which = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            sum += std::abs(shift.cells[k]);
            if (shift.cells[k] == 1) which = k;
        }
        if (sum == 1 && shift.cells[which] == 1) cell[which] = shift.vector;
    }
    return std::all_of(shifts_.begin(), shifts_.end(), [&](const Shift& shift) {
        return agree(shift.vector, sum_of(cell, shift.cells), 10.0 * tolerance);
    });
}

bool ImageOwners::find(const System& system, const std::vector<double>& coordinates) {
    const double tolerance = place_tolerance(coordinates);
    if (tolerance > largest_tolerance) {
        why_ = "coordinates are too large to find the owners of periodic images";
        return false;
    }
    system_ = &system;
    x_ = coordinates.data();
    contributing_.clear();
    images_.clear();
    for (std::int32_t i = 0; i < system.n; ++i) {
        (system.contributing[i] != 0 ? contributing_ : images_).push_back(i);
    }
    middle_ = {};
    for (const std::int32_t i : contributing_) {
        for (std::size_t axis = 0; axis < 3; ++axis) {
            middle_[axis] += place(i)[axis] / static_cast<double>(contributing_.size());
        }
    }
    // Nearest images first: the vectors of a cell's faces are the shortest ones.
    std::vector<std::pair<double, std::int32_t>> sorted;
    for (const std::int32_t i : images_) {
        const Vector apart = difference(place(i), middle_.data());
        sorted.emplace_back(dot(apart, apart), i);
    }
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t k = 0; k < sorted.size(); ++k) images_[k] = sorted[k].second;

    find_corners();
    places_.fill(system, x_, tolerance, /*all=*/false, cell_side);
    all_places_.clear();
    around_.clear();
    cell_.clear();
    had_choice_ = false;
    n_looks_ = 0;
    why_ = "the periodic images that the simulator passes are not those of one cell";
    found_cell_.reset();
    complete_cell(0, coordinates);
    if (!found_cell_) {
        owners_.clear();
        return false;
    }
    cell_ = *found_cell_;
    write_owners();
    if (!are_distinct()) {
        why_ = "two particles of one species are at the same place";
        return false;
    }
    return true;
}

/// Adds vectors to the cell until every image from the first one on has an owner. Where several
/// vectors would do, as in crystals, the shortest that leads to an end. Returns whether to stop.
bool ImageOwners::complete_cell(std::size_t first, const std::vector<double>& coordinates) {
    // In crystals; others take a few looks at each image.
    const std::int64_t most_looks = 1'000'000 + 1000 * system_->n;
    Cells cells;
    while (first < images_.size() && owner_of(images_[first], cells) >= 0) {
        ++first;
        ++n_looks_;
    }
    if (first == images_.size()) return is_enough();
    if (n_looks_ > most_looks) {
        had_choice_ = true;
        why_ = "the owners of the periodic images cannot be found in a reasonable time";
        return true;
    }
    if (cell_.size() == 3) return false;
    const std::int32_t image = images_[first];
    const std::vector<Vector> candidates = vectors_to(image, coordinates);
    if (candidates.empty()) {
        why_ =
            "particle " + std::to_string(image) +
            ", which does not contribute, is not a periodic image of a particle of this process; "
            "it may belong to another MPI rank";
        return false;
    }
    for (const Vector& vector : candidates) {
        const std::vector<Vector> before = cell_;
        cell_.push_back(vector);
        const bool stop = is_cell(candidates.size() > 1) && complete_cell(first, coordinates);
        cell_ = before;
        if (stop) return true;
    }
    return false;
}

/// Notes a cell with which every image has an owner. Whether another one need not be sought.
bool ImageOwners::is_enough() {
    if (!found_cell_) {
        found_cell_ = cell_;
        return !look_for_choice_;
    }
    const std::vector<Vector> other = cell_;
    had_choice_ = std::any_of(images_.begin(), images_.end(), [&](std::int32_t image) {
        Cells cells;
        const std::int32_t owner = owner_of(image, cells);
        cell_ = *found_cell_;
        const bool differs = owner_of(image, cells) != owner;
        cell_ = other;
        return differs;
    });
    return had_choice_;
}

/// The vectors by which an image may be moved, shortest first: from contributing particles of its
/// species that have around them what the image has.
std::vector<Vector> ImageOwners::vectors_to(std::int32_t image,
                                            const std::vector<double>& coordinates) {
    if (!all_places_.is_filled()) {
        all_places_.fill(*system_, x_, place_tolerance(coordinates), /*all=*/true, cell_side);
    }
    // Farther from its owner there may be images that were not passed.
    const double square = reach_ * reach_ * (1.0 - 1e-9);
    std::vector<std::pair<double, std::int32_t>> nearest;
    for (std::int32_t particle = 0; particle < system_->n; ++particle) {
        const Vector apart = difference(place(particle), place(image));
        if (dot(apart, apart) < square) nearest.emplace_back(dot(apart, apart), particle);
    }
    const auto kept = static_cast<std::ptrdiff_t>(std::min(nearest.size(), n_companions + 1));
    std::partial_sort(nearest.begin(), nearest.begin() + kept, nearest.end());
    nearest.resize(static_cast<std::size_t>(kept));

    std::vector<std::pair<double, Vector>> found;
    for (const std::int32_t owner : contributing_) {
        if (system_->species[owner] != system_->species[image]) continue;
        const Vector vector = difference(place(image), place(owner));
        ++n_looks_;
        const bool alike = std::all_of(nearest.begin(), nearest.end(), [&](const auto& other) {
            return all_places_.at(place_before(place(other.second), vector),
                                  system_->species[other.second]) >= 0;
        });
        if (alike) found.emplace_back(dot(vector, vector), vector);
    }
    std::sort(found.begin(), found.end());
    std::vector<Vector> vectors;
    for (const auto& [square, vector] : found) vectors.push_back(vector);
    return vectors;
}

/// Whether the vectors point in different directions and, if asked for, sums of them lead from no
/// contributing particle to another one, of whatever species, which is no image.
bool ImageOwners::is_cell(bool check_owners) {
    if (!are_independent(cell_)) return false;
    if (!check_owners) return true;
    const Vector& last = cell_.back();
    // Sums with the last vector, on one side of it: the others were looked at, or are opposite.
    // Short ones first, since most vectors that are wrong lead from many particles to others.
    if (leads_to_contributing(last)) return false;
    constexpr int a = 3;  // beyond, sums lead out of what contributing particles take up
    const int b = cell_.size() > 1 ? a : 0, c = cell_.size() > 2 ? a : 0;
    for (int i = 1; i <= a; ++i) {
        for (int j = -b; j <= b; ++j) {
            for (int k = -c; k <= c; ++k) {
                Cells cells = {j, k, 0};
                cells[cell_.size() - 1] = i;
                if (leads_to_contributing(sum_of(cell_, cells))) return false;
            }
        }
    }
    return true;
}

bool ImageOwners::leads_to_contributing(const Vector& vector) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
        if (std::abs(vector[axis]) > extent_[axis] + largest_tolerance) return false;
    }
    const auto leads = [&](std::int32_t i) {
        ++n_looks_;
        return places_.at(place_before(place(i), vector), Places::any_species) >= 0;
    };
    // From a crystal's corner most vectors that are too short lead into it.
    return std::any_of(corners_.begin(), corners_.end(), leads) ||
           std::any_of(contributing_.begin(), contributing_.end(), leads);
}

/// How far contributing particles reach, and which are outermost.
void ImageOwners::find_corners() {
    extent_ = {};
    corners_.clear();
    if (contributing_.empty()) return;
    for (int way = 0; way < 27; ++way) {
        const Vector direction = {way % 3 - 1.0, way / 3 % 3 - 1.0, way / 9 - 1.0};
        const auto along = [&](std::int32_t i) {
            return dot(direction, {place(i)[0], place(i)[1], place(i)[2]});
        };
        corners_.push_back(
            *std::max_element(contributing_.begin(), contributing_.end(),
                              [&](std::int32_t a, std::int32_t b) { return along(a) < along(b); }));
    }
    for (std::size_t axis = 0; axis < 3; ++axis) {
        const auto [low, high] = std::minmax_element(
            contributing_.begin(), contributing_.end(),
            [&](std::int32_t a, std::int32_t b) { return place(a)[axis] < place(b)[axis]; });
        extent_[axis] = place(*high)[axis] - place(*low)[axis];
    }
}

/// The contributing particle of which another one is an image; -1 if there is none. `cells`: how
/// many of each of the cell's vectors it is away.
std::int32_t ImageOwners::owner_of(std::int32_t image, Cells& cells) const {
    return owner_at(place(image), system_->species[image], cells);
}

std::int32_t ImageOwners::owner_at(const double* where, int species, Cells& cells) const {
    // Contributing particles lie around their middle, most of them within half a cell.
    const Vector apart = difference(where, middle_.data());
    const Cells guess = nearest_cells(apart);
    constexpr std::array<int, 5> steps = {0, 1, -1, 2, -2};
    const auto n_steps = [&](std::size_t k) { return k < cell_.size() ? steps.size() : 1; };
    for (std::size_t i = 0; i < n_steps(0); ++i) {
        for (std::size_t j = 0; j < n_steps(1); ++j) {
            for (std::size_t k = 0; k < n_steps(2); ++k) {
                cells = {guess[0] + steps[i], guess[1] + steps[j], guess[2] + steps[k]};
                const std::int32_t owner =
                    places_.at(place_before(where, sum_of(cell_, cells)), species);
                if (owner >= 0) return owner;
            }
        }
    }
    return -1;
}

/// Three vectors: the cell's, and others at right angles to them.
ImageOwners::Cells ImageOwners::nearest_cells(const Vector& apart) const {
    if (cell_.empty()) return {};
    const std::array<Vector, 3> reciprocal = reciprocal_of(cell_);
    Cells cells = {};
    for (std::size_t k = 0; k < cell_.size(); ++k) {
        cells[k] = static_cast<int>(std::round(std::clamp(dot(reciprocal[k], apart), -1e6, 1e6)));
    }
    return cells;
}

void ImageOwners::write_owners() {
    const auto n = static_cast<std::size_t>(system_->n);
    owners_.resize(n);
    shift_of_.assign(n, -1);
    shifts_.clear();
    for (const std::int32_t i : contributing_) owners_[static_cast<std::size_t>(i)] = i;
    std::map<Cells, std::int32_t> known;
    for (const std::int32_t image : images_) {
        Cells cells = {};
        const std::int32_t owner = owner_of(image, cells);
        owners_[static_cast<std::size_t>(image)] = owner;
        const auto [entry, is_new] =
            known.emplace(cells, static_cast<std::int32_t>(shifts_.size()));
        if (is_new) shifts_.push_back({difference(place(image), place(owner)), cells, image});
        shift_of_[static_cast<std::size_t>(image)] = entry->second;
    }
    // In the simulator's order, which is that in memory.
    std::sort(images_.begin(), images_.end());
}

/// Whether no two images are one particle's, moved by one vector.
bool ImageOwners::are_distinct() const {
    std::vector<std::pair<std::int32_t, std::int32_t>> moved;
    for (const std::int32_t image : images_) {
        const auto i = static_cast<std::size_t>(image);
        moved.emplace_back(owners_[i], shift_of_[i]);
    }
    std::sort(moved.begin(), moved.end());
    return std::adjacent_find(moved.begin(), moved.end()) == moved.end();
}

bool ImageOwners::repeat_by(const Vector& vector, std::vector<std::int32_t>& led_to) const {
    led_to.clear();
    for (const std::int32_t i : contributing_) {
        Cells cells;
        led_to.push_back(
            owner_at(place_before(place(i), vector).data(), system_->species[i], cells));
        if (led_to.back() < 0) return false;
    }
    return true;
}

const Places& ImageOwners::surroundings(double near) const {
    if (!around_.is_filled() || around_side_ != near) {
        around_.fill(*system_, x_, 0.0, /*all=*/false, near);
        around_side_ = near;
    }
    return around_;
}

bool ImageOwners::lacks(const Vector& place, int species, double near) const {
    return all_places_.at(place, species) < 0 && surroundings(near).any_within(place, near);
}

bool ImageOwners::predict_only_particles(double near) const {
    constexpr double most_places = 2e7;
    if (cell_.empty() || contributing_.empty()) return true;
    const std::array<Vector, 3> reciprocal = reciprocal_of(cell_);
    // So many cells away from each other can two places be that are within `near`.
    std::array<int, 3> most = {};
    double n_places = static_cast<double>(contributing_.size());
    for (std::size_t k = 0; k < cell_.size(); ++k) {
        double low = 0.0, high = 0.0;
        for (const std::int32_t i : contributing_) {
            const double part = dot(reciprocal[k], difference(place(i), middle_.data()));
            low = std::min(low, part);
            high = std::max(high, part);
        }
        const double span = high - low + near * std::sqrt(dot(reciprocal[k], reciprocal[k]));
        if (span > 1000.0) return false;
        most[k] = static_cast<int>(std::ceil(span));
        n_places *= 2 * most[k] + 1;
    }
    if (n_places > most_places) return false;
    for (int a = -most[0]; a <= most[0]; ++a) {
        for (int b = -most[1]; b <= most[1]; ++b) {
            for (int c = -most[2]; c <= most[2]; ++c) {
                if (a == 0 && b == 0 && c == 0) continue;
                const Vector shift = sum_of(cell_, {-a, -b, -c});
                for (const std::int32_t i : contributing_) {
                    const Vector where = place_before(place(i), shift);
                    if (lacks(where, system_->species[i], near)) return false;
                }
            }
        }
    }
    return true;
}

Vector ImageOwners::sum_of(const std::vector<Vector>& vectors, const Cells& cells) {
    Vector sum = {};
    for (std::size_t k = 0; k < vectors.size(); ++k) {
        for (std::size_t axis = 0; axis < 3; ++axis) sum[axis] += cells[k] * vectors[k][axis];
    }
    return sum;
}

}  // namespace torchml
