#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

#include "torch_ops/kernels.hpp"

namespace torchml::ops {

/// Sum of each row's terms. Differentiable with respect to source and weight any number of times,
/// like all the functions here; on every device that ATen knows.
at::Tensor sum(const at::Tensor& source, const Terms& terms);

/// Product of each row's slices (terms without `from`); 1 for a row without any.
at::Tensor product(const at::Tensor& source, const Terms& terms);

/// Smallest or largest of each row's terms, and which term it is (see extreme_kernel).
std::tuple<at::Tensor, at::Tensor> extreme(const at::Tensor& source, const Terms& terms,
                                           bool largest);

/// source[..., index, ...] along `dim`; index as Terms::to, or in the shape of the result.
at::Tensor take(const at::Tensor& source, std::int64_t dim, const at::Tensor& index);

/// int64 (..., count): the segment in which each position lies, for pointers (..., N + 1); N for
/// positions in none.
at::Tensor segments(const at::Tensor& pointers, std::int64_t count);

}  // namespace torchml::ops
