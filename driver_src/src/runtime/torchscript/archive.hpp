#pragma once

#include <torch/csrc/jit/api/module.h>

#include <filesystem>
#include <string>
#include <vector>

namespace torchml {

/// A loaded model. devices: those hard-coded in its code, such as "cuda:0", which do not change
/// when it moves to another device. exchanges: whether it calls torch.ops.torchml.exchange.
struct LoadedArchive {
    torch::jit::Module module;
    std::vector<std::string> devices;
    bool exchanges = false;
};

/// Reads a TorchScript file, with its tensors on the CPU, and provides the operators that it calls.
///
/// While reading, replaces operators of torch_scatter and torch_sparse by the driver's own, where
/// it has them: the code then names its private namespaces (see torch_ops/operators.hpp). With
/// KIM_MODEL_OPERATORS=extension, leaves these calls unchanged and opens the original libraries
/// unless the process has them. Throws Error for missing operators and classes, and for files of
/// newer torches and of other kinds; c10::Error for other faults that torch finds.
LoadedArchive load_archive(const std::filesystem::path& file);

}  // namespace torchml
