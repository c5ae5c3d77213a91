// Unfolding a periodic system into atoms and their images.

#include "engine/periodic.hpp"

#include <cmath>

#include "support.hpp"

namespace {

using namespace torchml;

constexpr double edge = 3.0;
const double cell[9] = {edge, 0.0, 0.0, 0.0, edge, 0.0, 0.0, 0.0, edge};

/// One atom in a cube, with its nearest images along x as neighbours.
UnfoldedSystem chain(int depth) {
    static const int species[] = {1};
    static const double coordinates[] = {0.5, 0.25, 0.125};
    static const std::int64_t atoms[] = {0, 0, 0, 0};
    static const std::int32_t shifts[] = {1, 0, 0, -1, 0, 0};
    return unfold(1, species, coordinates, cell, {2, atoms, shifts}, depth);
}

}  // namespace

TEST_CASE("an atom's neighbours are images at their places") {
    const UnfoldedSystem system = chain(1);
    CHECK(system.n_atoms == 1);
    REQUIRE(system.owner.size() == 3);
    CHECK(system.contributing == std::vector<int>{1, 0, 0});
    CHECK(system.species == std::vector<int>{1, 1, 1});
    const Neighbours neighbours = system.neighbours.of(0);
    REQUIRE(neighbours.count == 2);
    for (int k = 0; k < 2; ++k) {
        const auto image = static_cast<std::size_t>(neighbours.indices[k]);
        CHECK(system.owner[image] == 0);
        CHECK(std::abs(system.coordinates[3 * image] - 0.5) == edge);
        CHECK(system.coordinates[3 * image + 1] == 0.25);
        CHECK(system.coordinates[3 * image + 2] == 0.125);
    }
}

TEST_CASE("each round of message passing reaches images one hop farther") {
    for (int depth = 1; depth <= 4; ++depth) {
        CHECK(chain(depth).owner.size() == 1 + 2 * static_cast<std::size_t>(depth));
    }
}

TEST_CASE("a system without pairs has no images") {
    const int species[] = {0, 0};
    const double coordinates[6] = {};
    const UnfoldedSystem system = unfold(2, species, coordinates, cell, {}, 1);
    CHECK(system.owner == std::vector<std::int64_t>{0, 1});
    CHECK(system.view().n == 2);
    CHECK(system.neighbours.of(1).count == 0);
}

TEST_CASE("folded, an image is its atom with a shift") {
    const std::int64_t atoms[] = {1, 0, 0, 1, 0, 0};
    const std::int32_t shifts[] = {0, 0, -1, 0, 0, 1, 0, 2, 0};
    const NeighbourLists lists = folded_lists(2, cell, {3, atoms, shifts});
    const Neighbours first = lists.of(0), second = lists.of(1);
    REQUIRE(first.count == 2);
    CHECK(first.indices[0] == 1);
    CHECK(first.shifts[2] == edge);
    CHECK(first.indices[1] == 0);  // its own neighbour
    CHECK(first.shifts[4] == 2.0 * edge);
    REQUIRE(second.count == 1);
    CHECK(second.indices[0] == 0);
    CHECK(second.shifts[2] == -edge);
}

TEST_CASE("a pair that names no atom is an error") {
    const int species[] = {0};
    const double coordinates[3] = {};
    const std::int32_t shifts[] = {0, 0, 0};
    for (const std::int64_t other : {-1, 1}) {
        const std::int64_t atoms[] = {0, other};
        CHECK_THROWS_AS(unfold(1, species, coordinates, cell, {1, atoms, shifts}, 1), Error);
    }
}
