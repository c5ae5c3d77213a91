#pragma once

#include <c10/core/ScalarType.h>

#include <string>

#include "base/parameters.hpp"

namespace torchml {

/// What PyTorch and parameter files call a type: "float64".
std::string type_name(c10::ScalarType type);

c10::ScalarType type_of(Precision precision);

}  // namespace torchml
