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
/// for one version of torch and one kind of device, with the gradient compiled in. Throws Error if
/// it is damaged, or was made for another torch, CPU or GPU than these.
std::unique_ptr<Runtime> load_aotinductor(const std::filesystem::path& file, bool returns_forces,
                                          c10::Device device);

/// Runs one entry of a package by itself, as the driver runs it, on tensors at hand, which are on
/// the device. `count`: how many it has to return. Throws Error if they are not what the
/// description says, and with what the model said.
using RunEntry =
    std::function<std::vector<at::Tensor>(std::vector<at::Tensor> inputs, std::size_t count)>;

/// For whoever compiles a model and wants to know what became of it. `name`: as the package's
/// description has it, such as `energies_and_gradient.one_thread`; no other code than that is run.
/// `largest_block`: see Plan::check; 0: as the driver runs it. Throws what load_aotinductor throws,
/// and Error if there is no such entry.
RunEntry load_entry(const std::filesystem::path& file, const std::string& name, c10::Device device,
                    std::int64_t largest_block);

}  // namespace torchml
