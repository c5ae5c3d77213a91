#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "base/warnings.hpp"
#include "runtime/runtime.hpp"

namespace torchml {

/// Loads a TorchScript archive, as torch.jit.script(model).save() writes it, onto a device.
/// `recorded` and `warnings`: see load_model().
std::unique_ptr<Runtime> load_torchscript(const std::filesystem::path& file, bool returns_forces,
                                          c10::Device device,
                                          std::optional<at::ScalarType> recorded,
                                          Warnings& warnings);

}  // namespace torchml
