#pragma once

#include <c10/core/Device.h>

#include <string>

#include "runtime/package.hpp"

namespace torchml {

/// Throws Error unless a package was compiled for this torch, this machine and this device. `name`:
/// the package's, for messages.
void require_compatible(const std::string& name, const PackageDescription& description,
                        c10::Device device);

}  // namespace torchml
