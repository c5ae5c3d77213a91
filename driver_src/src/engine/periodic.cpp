#include "engine/periodic.hpp"

#include <array>

#include "engine/error.hpp"

namespace torchml {

System UnfoldedSystem::view() const {
    System system;
    system.n = static_cast<std::int64_t>(owner.size());
    system.species = species.data();
    system.coordinates = coordinates.data();
    system.contributing = contributing.data();
    system.neighbours = &neighbours;
    return system;
}

UnfoldedSystem unfold(std::int64_t n_atoms, const int* species, const double* coordinates,
                      const double* cell, const PeriodicPairs& pairs) {
    UnfoldedSystem system;
    system.n_atoms = n_atoms;
    const auto count = static_cast<std::size_t>(n_atoms);
    system.owner.resize(count);
    for (std::size_t i = 0; i < count; ++i) system.owner[i] = static_cast<std::int64_t>(i);
    system.species.assign(species, species + count);
    system.coordinates.assign(coordinates, coordinates + 3 * count);
    system.contributing.assign(count, 1);

    auto& starts = system.neighbours.starts;
    starts.assign(count + 1, 0);
    for (std::int64_t pair = 0; pair < pairs.n_pairs; ++pair) {
        for (const std::int64_t atom : {pairs.atoms[2 * pair], pairs.atoms[2 * pair + 1]}) {
            if (atom < 0 || atom >= n_atoms) {
                fail("the neighbour list names atom ", atom, "; there are ", n_atoms, ".");
            }
        }
        ++starts[static_cast<std::size_t>(pairs.atoms[2 * pair]) + 1];
    }
    for (std::size_t i = 0; i < count; ++i) starts[i + 1] += starts[i];

    // The images of an atom are few: a linked list per atom finds one faster than a hash table.
    constexpr int none = -1;
    std::vector<int> first_image(count, none);
    std::vector<int> next_image;
    std::vector<std::array<std::int32_t, 3>> image_shift;
    const auto particle_of = [&](std::int64_t atom, const std::int32_t* shift) {
        if (shift[0] == 0 && shift[1] == 0 && shift[2] == 0) return static_cast<int>(atom);
        const std::array<std::int32_t, 3> wanted = {shift[0], shift[1], shift[2]};
        int image = first_image[static_cast<std::size_t>(atom)];
        for (; image != none; image = next_image[static_cast<std::size_t>(image)]) {
            if (image_shift[static_cast<std::size_t>(image)] == wanted) break;
        }
        if (image == none) {
            image = static_cast<int>(image_shift.size());
            image_shift.push_back(wanted);
            next_image.push_back(first_image[static_cast<std::size_t>(atom)]);
            first_image[static_cast<std::size_t>(atom)] = image;
            system.owner.push_back(atom);
            system.species.push_back(species[atom]);
            for (int axis = 0; axis < 3; ++axis) {
                double shifted = coordinates[3 * atom + axis];
                for (int k = 0; k < 3; ++k) shifted += shift[k] * cell[3 * k + axis];
                system.coordinates.push_back(shifted);
            }
            system.contributing.push_back(0);
        }
        return static_cast<int>(n_atoms) + image;
    };

    auto next = starts;
    auto& indices = system.neighbours.indices;
    indices.resize(static_cast<std::size_t>(pairs.n_pairs));
    for (std::int64_t pair = 0; pair < pairs.n_pairs; ++pair) {
        auto& place = next[static_cast<std::size_t>(pairs.atoms[2 * pair])];
        indices[static_cast<std::size_t>(place++)] =
            particle_of(pairs.atoms[2 * pair + 1], pairs.shifts + 3 * pair);
    }
    return system;
}

}  // namespace torchml
