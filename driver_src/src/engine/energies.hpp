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

/// A tensor's shape as messages give it, "[64, 3]".
std::string shape_of(const at::Tensor& tensor);

}  // namespace torchml
