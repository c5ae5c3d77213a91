#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace torchml {

/// What the energies that a model returned belong to.
enum class EnergyOwners {
    system,        ///< one energy for all
    contributing,  ///< one for each contributing particle, in the order of particles
    particles,     ///< one for each particle that the model sees
};

/// A model's energies, one per row.
struct Energies {
    EnergyOwners owners = EnergyOwners::system;
    at::Tensor rows;  ///< eV, float64 (owners), contiguous
};

/// Interprets the energies (float64) of a model that saw `n` particles, of which `n_contributing`
/// contribute: a scalar, or [n, ...] or [n_contributing, ...], whose further dimensions are summed
/// for each particle. Leading dimensions of size one are dropped. Throws Error for other shapes.
Energies read_energies(const at::Tensor& energies, std::int64_t n, std::int64_t n_contributing);

/// A model's forces, one row per particle.
struct ForceRows {
    at::Tensor rows;  ///< eV/Å, (owners, 3) float64, contiguous
    /// Whether the owners are the particles that the model sees; otherwise they are the system's,
    /// which then all contribute.
    bool of_all_the_model_sees = true;
};

/// Interprets the forces (float64) of a model that saw `n` particles of a system of `n_system`, of
/// which `n_contributing` contribute: [n, 3], or [3 n] in the order of particles, with any further
/// dimensions of size one. Forces on contributing particles alone are accepted only if there are no
/// others: a force missing on a ghost is missing on its owner, and in the virial. Throws Error for
/// other shapes. An array [3, n] has another order and is refused, except for n = 3, where it
/// is indistinguishable from [n, 3] and read as such.
ForceRows read_forces_of(const at::Tensor& forces, std::int64_t n, std::int64_t n_contributing,
                         std::int64_t n_system);

/// Interprets the gradient (float64) that a model returned in place of forces, for `n_edges` edges:
/// [n_edges, 3]. Throws Error for other shapes.
at::Tensor read_edge_gradient(const at::Tensor& gradient, std::int64_t n_edges);

/// A tensor's shape as messages show it, "[64, 3]".
std::string shape_of(const at::Tensor& tensor);

}  // namespace torchml
