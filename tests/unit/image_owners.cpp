// Whose periodic image each ghost is, found by where it lies.

#include "inputs/image_owners.hpp"

#include <array>
#include <cstdint>
#include <vector>

#include "support.hpp"

namespace {

using namespace torchml;

/// Particles that contribute, then others.
struct Particles {
    std::vector<int> species, contributing;
    std::vector<double> coordinates;

    void add(double x, double y, double z, bool mine, int kind = 0) {
        species.push_back(kind);
        contributing.push_back(mine ? 1 : 0);
        coordinates.insert(coordinates.end(), {x, y, z});
    }

    System view() const {
        System system;
        system.n = static_cast<std::int64_t>(species.size());
        system.species = species.data();
        system.contributing = contributing.data();
        system.coordinates = coordinates.data();
        return system;
    }
};

constexpr double reach = 5.0;

/// Three atoms without symmetry, in a cell that repeats along x and, obliquely, along y.
Particles oblique(double side = 4.0) {
    const double atoms[3][3] = {{0.1, 0.2, 0.3}, {1.5, 2.2, 0.4}, {3.1, 0.9, 1.7}};
    Particles particles;
    for (const auto& atom : atoms) particles.add(atom[0], atom[1], atom[2], true);
    for (int a = -1; a <= 1; ++a) {
        for (int b = -1; b <= 1; ++b) {
            if (a == 0 && b == 0) continue;
            for (const auto& atom : atoms) {
                particles.add(atom[0] + a * side + b * 1.1, atom[1] + b * side, atom[2], false);
            }
        }
    }
    return particles;
}

/// A row of four atoms, 2 Å apart, and two images to either side.
Particles row() {
    Particles particles;
    for (int k = 0; k < 4; ++k) particles.add(2.0 * k, 0.0, 0.0, true);
    for (const int k : {-2, -1, 4, 5}) particles.add(2.0 * k, 0.0, 0.0, false);
    return particles;
}

bool update(ImageOwners& owners, const Particles& particles) {
    return owners.update(particles.view(), particles.coordinates, reach);
}

}  // namespace

TEST_CASE("each image has its owner") {
    ImageOwners owners;
    const Particles particles = oblique();
    REQUIRE(update(owners, particles));
    CHECK(owners.found_anew());
    CHECK(!owners.had_choice());
    for (std::size_t k = 0; k < particles.species.size(); ++k) {
        CHECK(owners.owners()[k] == static_cast<std::int32_t>(k % 3));
    }
}

TEST_CASE("owners are kept while images follow them, whatever becomes of the cell") {
    ImageOwners owners;
    REQUIRE(update(owners, oblique()));
    REQUIRE(update(owners, oblique(4.2)));
    CHECK(!owners.found_anew());
    Particles moved = oblique(4.2);
    for (std::size_t k = 0; k < moved.species.size(); k += 3) moved.coordinates[3 * k] += 0.3;
    REQUIRE(update(owners, moved));
    CHECK(!owners.found_anew());
    CHECK(owners.owners()[4] == 1);
}

TEST_CASE("a ghost that is no image is said to be none") {
    Particles displaced = oblique();
    displaced.coordinates[3 * 7 + 1] += 1e-6;
    Particles foreign = oblique();
    foreign.species[7] = 1;
    for (const Particles& particles : {displaced, foreign}) {
        ImageOwners owners;
        CHECK(!update(owners, particles));
        CHECK(!owners.why().empty());
        ImageOwners knew;
        REQUIRE(update(knew, oblique()));
        CHECK(!update(knew, particles));
        CHECK(update(knew, oblique()));
    }
}

TEST_CASE("two particles at one place have no certain images") {
    Particles particles = oblique();
    for (std::size_t k = 0; k < particles.species.size(); k += 3) {
        for (std::size_t axis = 0; axis < 3; ++axis) {
            particles.coordinates[3 * (k + 1) + axis] = particles.coordinates[3 * k + axis];
        }
    }
    ImageOwners owners;
    CHECK(!update(owners, particles));
}

TEST_CASE("a row of like atoms has one cell, and repeats by the way from one atom to the next") {
    ImageOwners owners;
    const Particles particles = row();
    const System system = particles.view();
    REQUIRE(owners.update(system, particles.coordinates, reach));
    CHECK(!owners.had_choice());
    CHECK(owners.owners()[4] == 2);  // no atom is another's image
    CHECK(owners.owners()[7] == 1);
    std::vector<std::int32_t> led_to;
    CHECK(owners.repeat_by({2.0, 0.0, 0.0}, led_to));
    CHECK(led_to.size() == 4);
    CHECK(!owners.repeat_by({1.0, 0.0, 0.0}, led_to));
    CHECK(owners.lacks({8.0, 0.0, 0.0}, 1, 3.0));  // of that species
    CHECK(!owners.lacks({8.0, 0.0, 0.0}, 0, 3.0));
    CHECK(!owners.lacks({30.0, 0.0, 0.0}, 0, 3.0));  // too far away to say
    CHECK(owners.predict_only_particles(3.0));
    CHECK(!owners.predict_only_particles(7.0));  // more images than were passed
}

TEST_CASE("a square of like atoms has a choice: upright cells, and oblique ones") {
    Particles particles;
    for (const bool mine : {true, false}) {
        for (int x = -2; x < 4; ++x) {
            for (int y = -2; y < 4; ++y) {
                const bool inside = x >= 0 && x < 2 && y >= 0 && y < 2;
                if (inside == mine) particles.add(2.0 * x, 2.0 * y, 0.0, mine);
            }
        }
    }
    ImageOwners owners;
    REQUIRE(update(owners, particles));
    CHECK(owners.had_choice());
}

TEST_CASE("coordinates beyond all measure are refused at once") {
    Particles particles = oblique();
    particles.add(1e30, 0.0, 0.0, true);
    ImageOwners owners;
    CHECK(!update(owners, particles));
    CHECK_CONTAINS(owners.why(), "too large");
}
