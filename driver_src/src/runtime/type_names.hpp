#pragma once

#include <c10/core/ScalarType.h>

#include <string>

#include "base/parameters.hpp"

namespace torchml {

/// The name of a type in PyTorch and in parameter files: "float64".
std::string type_name(c10::ScalarType type);

c10::ScalarType type_of(Precision precision);

}  // namespace torchml
