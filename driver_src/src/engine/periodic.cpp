#include "engine/periodic.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.hpp"

namespace torchml {

namespace {

using Shift = std::array<std::int32_t, 3>;

// In cells, for one pair: hops add up, and their sum must fit into an integer.
constexpr std::int32_t largest_shift = 1 << 20;

/// Finds the particle that is an atom's image: a hash table from (atom, shift) to particle, with
/// open addressing.
class ImageTable {
  public:
    explicit ImageTable(const std::vector<std::int64_t>& owner, const std::vector<Shift>& shifts)
        : owner_(owner), shifts_(shifts), slots_(1024, empty) {}

    /// The particle; or -1, after reserving an entry for it, which the caller then adds as `next`.
    int find_or_claim(std::int64_t atom, const Shift& shift, int next) {
        if (2 * (n_used_ + 1) > slots_.size()) grow();
        int& slot = slot_of(atom, shift);
        if (slot != empty) return slot;
        slot = next;
        ++n_used_;
        return empty;
    }

  private:
    static constexpr int empty = -1;

    int& slot_of(std::int64_t atom, const Shift& shift) {
        std::uint64_t key = static_cast<std::uint64_t>(atom);
        for (const std::int32_t s : shift)
            key = key * 0x9E3779B97F4A7C15u + static_cast<std::uint32_t>(s);
        key ^= key >> 29;
        std::size_t place = (key * 0x9E3779B97F4A7C15u) >> 20;
        for (;; ++place) {
            int& slot = slots_[place & (slots_.size() - 1)];
            if (slot == empty) return slot;
            const auto particle = static_cast<std::size_t>(slot);
            if (owner_[particle] == atom && shifts_[particle] == shift) return slot;
        }
    }

    void grow() {
        std::vector<int> old(2 * slots_.size(), empty);
        old.swap(slots_);
        for (const int particle : old) {
            if (particle == empty) continue;
            const auto index = static_cast<std::size_t>(particle);
            slot_of(owner_[index], shifts_[index]) = particle;
        }
    }

    const std::vector<std::int64_t>& owner_;
    const std::vector<Shift>& shifts_;
    std::vector<int> slots_;
    std::size_t n_used_ = 0;
};

/// Sorts the pairs by their first atom, and finds where those of each atom start.
void sort_pairs(std::int64_t n_atoms, const PeriodicPairs& pairs, std::vector<std::int64_t>& starts,
                std::vector<std::int64_t>& sorted) {
    starts.assign(static_cast<std::size_t>(n_atoms) + 1, 0);
    for (std::int64_t pair = 0; pair < pairs.n_pairs; ++pair) {
        for (const std::int64_t atom : {pairs.atoms[2 * pair], pairs.atoms[2 * pair + 1]}) {
            if (atom < 0 || atom >= n_atoms) {
                fail("the neighbour list names atom ", atom, "; there are ", n_atoms,
                     " atoms, numbered from 0.");
            }
        }
        for (int axis = 0; axis < 3; ++axis) {
            const std::int32_t shift = pairs.shifts[3 * pair + axis];
            if (shift < -largest_shift || shift > largest_shift) {
                fail("the neighbour list has a pair whose second atom is ", shift,
                     " cells away; at most ", largest_shift,
                     " are possible. Wrap the atoms into the cell.");
            }
        }
        ++starts[static_cast<std::size_t>(pairs.atoms[2 * pair]) + 1];
    }
    for (std::size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
    sorted.resize(static_cast<std::size_t>(pairs.n_pairs));
    auto next = starts;
    for (std::int64_t pair = 0; pair < pairs.n_pairs; ++pair) {
        auto& place = next[static_cast<std::size_t>(pairs.atoms[2 * pair])];
        sorted[static_cast<std::size_t>(place++)] = pair;
    }
}

}  // namespace

System UnfoldedSystem::view() const {
    System system;
    system.n = static_cast<std::int64_t>(owner.size());
    system.species = species.data();
    system.coordinates = coordinates.data();
    system.contributing = contributing.data();
    system.neighbours = &neighbours;
    system.complete_lists = true;
    return system;
}

NeighbourLists folded_lists(std::int64_t n_atoms, const double* cell, const PeriodicPairs& pairs) {
    NeighbourLists lists;
    std::vector<std::int64_t> sorted;
    sort_pairs(n_atoms, pairs, lists.starts, sorted);
    lists.indices.reserve(sorted.size());
    lists.shifts.reserve(3 * sorted.size());
    for (const std::int64_t pair : sorted) {
        lists.indices.push_back(static_cast<int>(pairs.atoms[2 * pair + 1]));
        const std::int32_t* shift = pairs.shifts + 3 * pair;
        for (int axis = 0; axis < 3; ++axis) {
            lists.shifts.push_back(shift[0] * cell[axis] + shift[1] * cell[3 + axis] +
                                   shift[2] * cell[6 + axis]);
        }
    }
    return lists;
}

UnfoldedSystem unfold(std::int64_t n_atoms, const int* species, const double* coordinates,
                      const double* cell, const PeriodicPairs& pairs, int depth) {
    std::vector<std::int64_t> starts, sorted;
    sort_pairs(n_atoms, pairs, starts, sorted);

    UnfoldedSystem system;
    system.n_atoms = n_atoms;
    std::vector<Shift> shifts;
    ImageTable table(system.owner, shifts);
    const auto particle_of = [&](std::int64_t atom, const Shift& shift) {
        const auto next = static_cast<int>(system.owner.size());
        const int known = table.find_or_claim(atom, shift, next);
        if (known >= 0) return known;
        if (next == std::numeric_limits<int>::max()) {
            fail("the system has more than ", next,
                 " atoms and periodic images. Compute fewer atoms at a time.");
        }
        system.owner.push_back(atom);
        shifts.push_back(shift);
        system.species.push_back(species[atom]);
        system.contributing.push_back(next < n_atoms ? 1 : 0);
        for (int axis = 0; axis < 3; ++axis) {
            double shifted = coordinates[3 * atom + axis];
            for (int k = 0; k < 3; ++k)
                shifted += shift[static_cast<std::size_t>(k)] * cell[3 * k + axis];
            system.coordinates.push_back(shifted);
        }
        return next;
    };
    for (std::int64_t atom = 0; atom < n_atoms; ++atom) particle_of(atom, {0, 0, 0});

    // An image's neighbours are its atom's, shifted with it: hop by hop outwards from the atoms.
    auto& lists = system.neighbours;
    lists.starts.push_back(0);
    std::size_t particle = 0;
    for (int hop = 0; hop < depth; ++hop) {
        for (const std::size_t end = system.owner.size(); particle < end; ++particle) {
            const Shift own = shifts[particle];
            const auto atom = static_cast<std::size_t>(system.owner[particle]);
            for (auto place = starts[atom]; place < starts[atom + 1]; ++place) {
                const std::int64_t pair = sorted[static_cast<std::size_t>(place)];
                const std::int32_t* step = pairs.shifts + 3 * pair;
                lists.indices.push_back(
                    particle_of(pairs.atoms[2 * pair + 1],
                                {own[0] + step[0], own[1] + step[1], own[2] + step[2]}));
            }
            lists.starts.push_back(static_cast<std::int64_t>(lists.indices.size()));
        }
    }
    // The outermost images have no lists; nothing requests them.
    lists.starts.resize(system.owner.size() + 1, lists.starts.back());
    return system;
}

}  // namespace torchml
