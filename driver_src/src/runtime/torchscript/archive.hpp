#pragma once

#include <torch/csrc/jit/api/module.h>

#include <filesystem>
#include <string>
#include <vector>

namespace torchml {

/// A model that was read. devices: those written into its code, such as "cuda:0", whatever device
/// it is moved to.
struct LoadedArchive {
    torch::jit::Module module;
    std::vector<std::string> devices;
};

/// Reads a TorchScript file, with its tensors on the CPU, and sees to the operators that it calls.
///
/// Operators of torch_scatter and torch_sparse that we have are replaced by ours as the file is
/// read: its code then names our private namespaces (see torch_ops/operators.hpp). With
/// KIM_MODEL_OPERATORS=extension it is left as it is, and the original libraries are opened unless
/// the process has them. Throws Error for operators and classes that are nowhere to be found, for
/// files of newer torches and other kinds; c10::Error for what else torch has against the file.
LoadedArchive load_archive(const std::filesystem::path& file);

}  // namespace torchml
