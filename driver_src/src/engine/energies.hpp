#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace torchml {

/// Whose energies a model returned.
enum class EnergyOwners {
    system,        ///< one energy for all
    contributing,  ///< one for each contributing particle, in the order of particles
    particles,     ///< one for each particle that the model sees
};

/// A model's energies, one a row.
struct Energies {
    EnergyOwners owners = EnergyOwners::system;
    at::Tensor rows;  ///< eV, float64 (owners), contiguous
};

/// Makes sense of the energies (float64) of a model that saw `n` particles, `n_contributing` of
/// them contributing: a scalar, or [n, ...] or [n_contributing, ...], whose further dimensions are
/// added up for each particle. Dimensions of size one in front are left out. Throws Error for other
/// shapes.
Energies read_energies(const at::Tensor& energies, std::int64_t n, std::int64_t n_contributing);

/// A model's forces, one particle a row.
struct ForceRows {
    at::Tensor rows;  ///< eV/Å, (owners, 3) float64, contiguous
    /// The owners: the particles that the model sees, or the system's, which all contribute.
    bool of_all_the_model_sees = true;
};

/// Makes sense of the forces (float64) of a model that saw `n` particles of a system of `n_system`,
/// of which `n_contributing` contribute: [n, 3], or [3 n] in the order of particles, with any
/// dimensions of size one besides. Of contributing particles alone, only if there are no others:
/// a force that is missing on a ghost is missing on its owner, and in the virial. Throws Error for
/// other shapes. An array [3, n] is in another order and refused; but for n = 3, where it looks
/// like the others, it is read as they are.
ForceRows read_forces_of(const at::Tensor& forces, std::int64_t n, std::int64_t n_contributing,
                         std::int64_t n_system);

/// A tensor's shape as messages give it, "[64, 3]".
std::string shape_of(const at::Tensor& tensor);

}  // namespace torchml
