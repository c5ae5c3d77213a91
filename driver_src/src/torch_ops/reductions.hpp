#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

#include "torch_ops/kernels.hpp"

namespace torchml::ops {

/// The sum of each row's terms. Like all functions here, it is differentiable with respect to
/// source and weight any number of times, on every device that ATen supports.
at::Tensor sum(const at::Tensor& source, const Terms& terms);

/// The product of each row's slices (terms without `from`); 1 for a row without any.
at::Tensor product(const at::Tensor& source, const Terms& terms);

/// The smallest or largest of each row's terms, and the index of that term (see extreme_kernel).
std::tuple<at::Tensor, at::Tensor> extreme(const at::Tensor& source, const Terms& terms,
                                           bool largest);

/// source[..., index, ...] along `dim`; index as Terms::to, or in the shape of the result.
at::Tensor take(const at::Tensor& source, std::int64_t dim, const at::Tensor& index);

/// int64 (..., count): the segment in which each position lies, for pointers (..., N + 1); N for
/// positions in none.
at::Tensor segments(const at::Tensor& pointers, std::int64_t count);

}  // namespace torchml::ops
