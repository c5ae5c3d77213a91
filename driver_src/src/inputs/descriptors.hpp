#pragma once

#include "inputs/inputs.hpp"

namespace torchml {

/// Calling convention 2: forward(descriptor).
///
/// descriptor (n_contributing, width), in the order of particles: what the portable model's
/// descriptor file (`*.dat`) describes, of the neighbours within each pair's cutoff.
///
/// Throws Error if there is no descriptor file, if it is wrong or does not fit the parameter file,
/// and for models that return forces, which they cannot know without coordinates.
std::unique_ptr<Inputs> make_descriptor_inputs(const InputsSource& source);

}  // namespace torchml
