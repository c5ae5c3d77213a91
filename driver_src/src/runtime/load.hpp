#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "base/warnings.hpp"
#include "runtime/runtime.hpp"

namespace torchml {

/// Loads a model file onto a device; its extension decides how. `recorded`: the type of its inputs,
/// if the parameter file records it. Doubts about types go to `warnings`, which must live as long
/// as the model. Throws Error if the file is missing, damaged or of another kind, or contradicts
/// what is recorded.
std::unique_ptr<Runtime> load_model(const std::filesystem::path& file, bool returns_forces,
                                    c10::Device device, std::optional<at::ScalarType> recorded,
                                    Warnings& warnings);

}  // namespace torchml
