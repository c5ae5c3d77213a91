// Synthetic input of a simulator: numbers of particles, species codes, flags, coordinates that are
// nan, huge or equal, and neighbour lists that name particles that do not exist. Each evaluation
// must end with an Error or with finite results, and a valid system must have the same energy and
// forces afterwards.
//
// TORCHML_FUZZ_MODELS: a folder with a folder for each model (*.param and what it names).

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/potential.hpp"
#include "expect.hpp"

namespace {

using torchml::Neighbours;
using torchml::Potential;
using torchml::Results;
using torchml::System;
using torchml::fuzz::expect;

/// The results of a valid system, to compare with.
struct Reference {
    double energy = 0.0;
    std::vector<double> forces;
};

struct Model {
    std::unique_ptr<Potential> potential;
    Reference reference;
};

/// Neighbour lists, each in separate memory, so that AddressSanitizer detects every access beyond
/// the end.
struct Lists final : torchml::NeighbourSource {
    struct Row {
        std::unique_ptr<int[]> indices;
        int count = 0;
        bool missing = false;
    };
    std::vector<Row> rows;

    Neighbours of(std::int64_t particle) const override {
        const Row& row = rows.at(static_cast<std::size_t>(particle));
        if (row.missing) torchml::fail("the simulator gave no neighbour list.");
        return {row.indices.get(), row.count};
    }
};

struct Particles {
    std::vector<int> species;
    std::vector<int> contributing;
    std::vector<double> coordinates;
    Lists lists;

    System system() const {
        System system;
        system.n = static_cast<std::int64_t>(species.size());
        system.species = species.data();
        system.contributing = contributing.data();
        system.coordinates = coordinates.data();
        system.neighbours = &lists;
        return system;
    }
};

void set_row(Lists::Row& row, const std::vector<int>& indices) {
    row.count = static_cast<int>(indices.size());
    row.indices = std::make_unique<int[]>(indices.size());
    std::copy(indices.begin(), indices.end(), row.indices.get());
}

/// Three particles on a line, each within the cutoff of the others; the last one is a ghost.
Particles sound_particles(const std::vector<int>& codes) {
    Particles particles;
    particles.species.assign(3, codes.front());
    particles.contributing = {1, 1, 0};
    particles.coordinates = {0.0, 0.0, 0.0, 2.2, 0.3, 0.1, 4.4, -0.2, 0.4};
    particles.lists.rows.resize(3);
    set_row(particles.lists.rows[0], {1});
    set_row(particles.lists.rows[1], {0, 2});
    set_row(particles.lists.rows[2], {1});
    return particles;
}

Reference compute_sound(Potential& potential) {
    const Particles particles = sound_particles(potential.species_codes());
    Reference reference;
    reference.forces.resize(9);
    Results results;
    results.energy = &reference.energy;
    results.forces = reference.forces.data();
    potential.prepare(particles.system());
    potential.evaluate(results);
    return reference;
}

std::vector<Model> load_models() {
    const char* folder = std::getenv("TORCHML_FUZZ_MODELS");
    expect(folder != nullptr, "TORCHML_FUZZ_MODELS in the environment");
    std::vector<std::filesystem::path> places;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        places.push_back(entry.path());
    }
    std::sort(places.begin(), places.end());  // so that an input means the same in every run
    std::vector<Model> models;
    for (const auto& place : places) {
        std::vector<std::filesystem::path> files;
        for (const auto& entry : std::filesystem::directory_iterator(place)) {
            files.push_back(entry.path());
        }
        Model model;
        model.potential = std::make_unique<Potential>(files);
        model.reference = compute_sound(*model.potential);
        models.push_back(std::move(model));
    }
    expect(!models.empty(), "models in TORCHML_FUZZ_MODELS");
    return models;
}

double length(FuzzedDataProvider& data) {
    const auto byte = data.ConsumeIntegral<std::int8_t>();
    if (byte != -128) return byte / 16.0;  // near each other, and often at the same place
    static constexpr double strange[] = {std::numeric_limits<double>::quiet_NaN(),
                                         std::numeric_limits<double>::infinity(),
                                         -std::numeric_limits<double>::infinity(),
                                         std::numeric_limits<double>::max(),
                                         -std::numeric_limits<double>::max(),
                                         std::numeric_limits<double>::denorm_min(),
                                         1e155,
                                         -0.0,
                                         1e30};
    return data.ConsumeBool() ? data.PickValueInArray(strange)
                              : data.ConsumeFloatingPoint<double>();
}

/// A neighbour of particle i; rarely i itself, or a particle that does not exist.
int neighbour(FuzzedDataProvider& data, int i, int n) {
    const auto byte = data.ConsumeIntegral<std::uint8_t>();
    if (byte == 255) return data.ConsumeIntegral<int>();
    if (byte == 254 || n < 2) return n;
    if (byte == 253) return i;
    const int other = byte % (n - 1);
    return other < i ? other : other + 1;
}

/// Makes the last particle, which has only a species yet, an image of another one.
void add_image(Particles& particles, int owner, int direction) {
    static constexpr double cell[3][3] = {{3.0, 0.0, 0.0}, {-0.5, 2.75, 0.0}, {0.25, 0.5, 3.25}};
    const auto place = static_cast<std::size_t>(owner);
    particles.species.back() = particles.species[place];
    particles.contributing.push_back(0);
    for (std::size_t axis = 0; axis < 3; ++axis) {
        particles.coordinates.push_back(particles.coordinates[3 * place + axis] +
                                        cell[direction][axis]);
    }
}

Particles made_up(FuzzedDataProvider& data, int n_codes) {
    Particles particles;
    const int n = data.ConsumeIntegralInRange(0, 20);
    for (int i = 0; i < n; ++i) {
        const auto byte = data.ConsumeIntegral<std::uint8_t>();
        particles.species.push_back(byte < 250 ? byte % n_codes : data.ConsumeIntegral<int>());
        const auto flag = data.ConsumeIntegral<std::uint8_t>();
        if (flag >= 220 && flag < 250 && i > 0) {
            add_image(particles, data.ConsumeIntegralInRange(0, i - 1), flag % 3);
            continue;
        }
        particles.contributing.push_back(flag < 250 ? flag % 2 : data.ConsumeIntegral<int>());
        for (int axis = 0; axis < 3; ++axis) particles.coordinates.push_back(length(data));
    }
    // Spare capacity would hide accesses beyond the end from AddressSanitizer.
    particles.species.shrink_to_fit();
    particles.contributing.shrink_to_fit();
    particles.coordinates.shrink_to_fit();
    const bool all_pairs = data.ConsumeBool();
    for (int i = 0; i < n; ++i) {
        Lists::Row row;
        std::vector<int> indices;
        if (all_pairs) {
            for (int j = 0; j < n; ++j) {
                if (j != i) indices.push_back(j);
            }
        }
        const auto kind = data.ConsumeIntegral<std::uint8_t>();
        const int n_more = all_pairs && kind < 250 ? 0 : kind % 8;
        for (int k = 0; k < n_more; ++k) indices.push_back(neighbour(data, i, n));
        set_row(row, indices);
        if (kind == 255) row.missing = true;
        if (kind == 254)
            row.count = data.ConsumeIntegralInRange(std::numeric_limits<int>::min(), 0);
        if (kind == 253) row.indices.reset();
        particles.lists.rows.push_back(std::move(row));
    }
    return particles;
}

/// All results that can be requested; nan until they are written.
struct Answers {
    static constexpr double unwritten = std::numeric_limits<double>::quiet_NaN();
    double energy = unwritten;
    std::vector<double> forces, particle_energies, virial, particle_virials;

    Results ask(FuzzedDataProvider& data, std::size_t n) {
        Results results;
        const auto wanted = data.ConsumeIntegral<std::uint8_t>();
        if ((wanted & 1) != 0) {
            results.energy = &energy;
        } else {
            energy = 0.0;
        }
        const auto want = [&](int bit, std::vector<double>& values, std::size_t count) {
            if ((wanted & bit) == 0) return static_cast<double*>(nullptr);
            values.assign(count, unwritten);
            values.shrink_to_fit();
            return values.data();
        };
        results.forces = want(2, forces, 3 * n);
        results.particle_energies = want(4, particle_energies, n);
        results.virial = want(8, virial, 6);
        if (wanted >= 0xF0) results.particle_virials = want(0xF0, particle_virials, 6 * n);
        return results;
    }

    void expect_finite() const {
        expect(std::isfinite(energy), "a finite energy");
        for (const auto* values : {&forces, &particle_energies, &virial, &particle_virials}) {
            for (const double value : *values) expect(std::isfinite(value), "finite results");
        }
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    static std::vector<Model> models = load_models();
    FuzzedDataProvider data(bytes, size);
    Model& model = models[data.ConsumeIntegral<std::uint8_t>() % models.size()];
    Potential& potential = *model.potential;
    const auto n_codes = static_cast<int>(potential.species_codes().size());
    try {
        const int n_steps = data.ConsumeIntegralInRange(1, 3);  // buffers are used again
        for (int step = 0; step < n_steps; ++step) {
            const Particles particles = made_up(data, n_codes);
            System system = particles.system();
            const auto strange = data.ConsumeIntegral<std::uint8_t>();
            if (strange == 255)
                system.n = -1 - static_cast<std::int64_t>(data.ConsumeIntegral<std::uint32_t>());
            if (strange == 254) system.angstrom = 1e10;  // metres
            Answers answers;
            const Results results = answers.ask(data, particles.species.size());
            potential.prepare(system);
            potential.evaluate(results);
            answers.expect_finite();
        }
    } catch (const torchml::Error& problem) {
        expect(std::string(problem.what()).size() > 10, "a message");
    }
    const Reference now = compute_sound(potential);
    expect(now.energy == model.reference.energy && now.forces == model.reference.forces,
           "the same energy and forces of a valid system as before");
    return 0;
}
