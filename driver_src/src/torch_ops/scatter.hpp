#pragma once

#include <torch/library.h>

namespace torchml::ops {

/// Defines the operators of torch_scatter 2.1.2 in a private namespace: same arguments, same
/// results, same gradients. Where the original leaves memory uninitialised or reads out of bounds,
/// these give zeros or an error; the gradient of a product is correct even if a factor is zero.
void define_scatter_operators(torch::Library& library);

}  // namespace torchml::ops
