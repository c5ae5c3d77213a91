#pragma once

#include <cstdint>
#include <vector>

namespace torchml {

/// The neighbours of one particle: indices of particles, owned by the simulator.
struct Neighbours {
    const int* indices = nullptr;
    int count = 0;
    /// (count, 3) Å, added to the coordinates of each neighbour, which then stands for a periodic
    /// image (of the particle itself, too); nullptr: neighbours are where their coordinates are.
    const double* shifts = nullptr;
};

/// Provides the neighbours of each particle. Lists are full (j lists i if i lists j), name no
/// particle twice, and may reach beyond the model's cutoff.
class NeighbourSource {
  public:
    virtual ~NeighbourSource() = default;
    /// Valid until the next call. Throws Error if the simulator has no list for the particle.
    virtual Neighbours of(std::int64_t particle) const = 0;
};

/// A view of the arrays that a simulator passes; owns nothing. Periodic images and ghosts of other
/// ranks are particles like any other, marked as not contributing.
struct System {
    std::int64_t n = 0;                   ///< particles, ghosts included; less than 2^31
    const int* species = nullptr;         ///< (n) the model's species codes
    const double* coordinates = nullptr;  ///< (n, 3) in the simulator's unit of length
    const int* contributing = nullptr;    ///< (n) 1 = its energy counts, 0 = it does not
    const NeighbourSource* neighbours = nullptr;
    bool keep_images = false;     ///< images stay particles, whatever KIM_MODEL_GHOSTS says
    bool complete_lists = false;  ///< the lists are known to hold every pair within the cutoff
    /// The simulator's other MPI ranks, if it has some, may evaluate their parts of one system at
    /// the same time.
    bool ranks_together = false;
    double angstrom = 1.0;  ///< the simulator's unit of length, in Å
};

/// Where to write results. A result with a null pointer is neither requested nor computed.
struct Results {
    double* energy = nullptr;
    double* forces = nullptr;             ///< (n, 3)
    double* particle_energies = nullptr;  ///< (n), 0 for particles without an energy
    /// (6) xx, yy, zz, yz, xz, xy: the derivative of the energy with respect to the strain (ASE's
    /// and KIM's sign).
    double* virial = nullptr;
    /// (n, 6) each particle's part of the virial, in the same order; their sum is the virial.
    double* particle_virials = nullptr;
    double energy_unit = 1.0;  ///< 1 eV in the simulator's unit of energy
    double force_unit = 1.0;   ///< 1 eV/Å in the simulator's unit of force
};

/// Neighbour lists as flat arrays: particle i's neighbours are indices[starts[i] .. starts[i+1]).
struct NeighbourLists final : NeighbourSource {
    std::vector<std::int64_t> starts;
    std::vector<int> indices;
    std::vector<double> shifts;  ///< empty, or of each entry (see Neighbours)

    Neighbours of(std::int64_t particle) const override {
        const auto start = starts[static_cast<std::size_t>(particle)];
        const auto end = starts[static_cast<std::size_t>(particle) + 1];
        return {indices.data() + start, static_cast<int>(end - start),
                shifts.empty() ? nullptr : shifts.data() + 3 * start};
    }
};

}  // namespace torchml
