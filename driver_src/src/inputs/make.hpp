#pragma once

#include <memory>

#include "inputs/inputs.hpp"

namespace torchml {

/// The inputs of a calling convention. Throws Error for a convention that this driver does not
/// have, and for descriptor files that are missing or wrong.
std::unique_ptr<Inputs> make_inputs(const InputsSource& source);

}  // namespace torchml
