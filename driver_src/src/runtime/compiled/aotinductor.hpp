#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <memory>

#include "runtime/runtime.hpp"

namespace torchml {

/// Loads an AOTInductor package (.pt2), as `torchml-install model compile` writes it: machine code
/// for one version of torch and one kind of device, with the gradient compiled in. Throws Error if
/// it is damaged, or was made for another torch, CPU or GPU than these.
std::unique_ptr<Runtime> load_aotinductor(const std::filesystem::path& file, bool returns_forces,
                                          c10::Device device);

}  // namespace torchml
