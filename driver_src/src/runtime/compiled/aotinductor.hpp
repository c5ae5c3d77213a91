#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/runtime.hpp"

namespace torchml {

/// Loads an AOTInductor package (.pt2), as `torchml-install model compile` writes it: machine code
/// for one series of torch and one kind of device, with the gradient compiled in. Throws Error if
/// the package is damaged, or was compiled for another torch, CPU or GPU.
std::unique_ptr<Runtime> load_aotinductor(const std::filesystem::path& file, bool returns_forces,
                                          c10::Device device);

/// Runs one entry of a package by itself, as the driver runs it, on tensors on the device. `count`:
/// the number of tensors that it must return. Throws Error if the tensors do not match the
/// description, and with the model's own message if it fails.
using RunEntry =
    std::function<std::vector<at::Tensor>(std::vector<at::Tensor> inputs, std::size_t count)>;

/// Loads one entry, for checking a model after compiling it. `name`: the entry in the package's
/// description, such as `energies_and_gradient.one_thread`; no other code runs. `largest_block`:
/// see Plan::check; 0: as the driver runs it. Throws what load_aotinductor throws, and Error if
/// there is no such entry.
RunEntry load_entry(const std::filesystem::path& file, const std::string& name, c10::Device device,
                    std::int64_t largest_block);

}  // namespace torchml
