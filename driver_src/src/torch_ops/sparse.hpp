#pragma once

#include <torch/library.h>

namespace torchml::ops {

/// Defines the operators of torch_sparse 0.6.18 that SparseTensor's methods call in a private
/// namespace; those that sample or partition graphs are not among them. See scatter.hpp.
void define_sparse_operators(torch::Library& library);

}  // namespace torchml::ops
