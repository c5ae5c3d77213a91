#pragma once

#include <memory>

#include "inputs/inputs.hpp"

namespace torchml {

/// Makes the inputs of a calling convention. Throws Error for a convention that this driver was
/// built without, and for descriptor files that are missing or invalid.
std::unique_ptr<Inputs> make_inputs(const InputsSource& source);

}  // namespace torchml
