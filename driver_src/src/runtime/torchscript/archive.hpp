#pragma once

#include <torch/csrc/jit/api/module.h>

#include <filesystem>
#include <string>
#include <vector>

namespace torchml {

/// A model that was read. devices: those written into its code, such as "cuda:0", which stay when
/// it is moved to another.
struct LoadedArchive {
    torch::jit::Module module;
    std::vector<std::string> devices;
};

/// Reads a TorchScript file, with its tensors on the CPU, and provides the operators that it calls.
///
/// Operators of torch_scatter and torch_sparse that we have are replaced by ours as the file is
/// read: its code then names our private namespaces (see torch_ops/operators.hpp). With
/// KIM_MODEL_OPERATORS=extension it is left as it is, and the original libraries are opened unless
/// the process has them. Throws Error for operators and classes that are missing, and for files
/// of newer torches and of other kinds; c10::Error for other faults that torch finds.
LoadedArchive load_archive(const std::filesystem::path& file);

}  // namespace torchml
