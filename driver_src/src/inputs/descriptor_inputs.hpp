#pragma once

#include <memory>
#include <vector>

#include "descriptors/descriptor.hpp"
#include "inputs/inputs.hpp"

namespace torchml {

/// Descriptor models: forward(descriptor).
///
/// descriptor (n_contributing, width), in the order of particles: the descriptor in the portable
/// model's descriptor file (`*.dat`), of the neighbours within each pair's cutoff.
///
/// Computing a descriptor fails if two particles are at the same place, where angles are undefined.
///
/// Throws Error if the descriptor file is missing or invalid, or contradicts the parameter file,
/// and for models that return forces, which they cannot compute without coordinates.
std::unique_ptr<Inputs> make_descriptor_inputs(const InputsSource& source);

/// The same for a descriptor that is already loaded. `cutoff`: Å, the distance up to which
/// neighbours count; `species_codes`: of each element, in the descriptor's order.
std::unique_ptr<Inputs> make_descriptor_inputs(std::unique_ptr<const Descriptor> descriptor,
                                               double cutoff, const std::vector<int>& species_codes,
                                               at::ScalarType scalar);

}  // namespace torchml
