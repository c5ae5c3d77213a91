#pragma once

#include <torch/csrc/jit/api/module.h>

#include <filesystem>

namespace torchml {

/// Reads a TorchScript file, with its tensors on the CPU, and sees to the operators that it calls.
///
/// Operators of torch_scatter and torch_sparse that we have are replaced by ours as the file is
/// read: its code then names our private namespaces (see torch_ops/operators.hpp). With
/// KIM_MODEL_OPERATORS=extension it is left as it is, and the original libraries are opened unless
/// the process has them. Throws Error for operators that are nowhere to be found, c10::Error for
/// what torch has against the file.
torch::jit::Module load_archive(const std::filesystem::path& file);

}  // namespace torchml
