#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>
#include <vector>

namespace torchml::ops {

/// A tensor that may be missing. Autograd and torch's operators take an optional, since an
/// undefined tensor has no device.
using OptionalTensor = c10::optional<at::Tensor>;

/// `sizes` with another size along `dim`.
inline std::vector<std::int64_t> resized(at::IntArrayRef sizes, std::int64_t dim,
                                         std::int64_t size) {
    auto result = sizes.vec();
    result[static_cast<std::size_t>(dim)] = size;
    return result;
}

/// The terms of a reduction of a tensor's slices along one dimension: term e is
/// `weight[e] * source[from[e]]` and belongs to row `to[e]` of the result.
struct Terms {
    std::int64_t dim = 0;
    at::Tensor to;          ///< int64 (E), or of the source's shape: then every element has its own
    at::Tensor from;        ///< int64 (E); undefined: term e is slice e
    at::Tensor weight;      ///< (E), of the source's type; undefined: 1. Only beside `from`
    std::int64_t rows = 0;  ///< the result's size along `dim`

    /// E, the number of terms.
    std::int64_t count(const at::Tensor& source) const {
        return from.defined() ? from.numel() : source.size(dim);
    }
};

/// Whether the kernels below support a tensor: it is on the CPU, in a type that C++ has. For others
/// (CUDA, half precision, complex numbers), the reductions are composed of ATen's operators.
bool has_kernels(const at::Tensor& source);

/// Sum of each row's terms, in the order of the terms. Throws c10::Error for indices out of range,
/// as all of these do.
at::Tensor sum_kernel(const at::Tensor& source, const Terms& terms);

/// The smallest or largest of each row's terms, and the index of that term, the first among equals.
/// A row without terms has the value 0 and the term E.
std::tuple<at::Tensor, at::Tensor> extreme_kernel(const at::Tensor& source, const Terms& terms,
                                                  bool largest);

/// (E): the scalar product of slice from[e] of `a` with slice to[e] of `b`, along `dim` of both.
at::Tensor dot_kernel(const at::Tensor& a, const at::Tensor& from, const at::Tensor& b,
                      const at::Tensor& to, std::int64_t dim);

/// int64 (count): the segment in which each position lies, for segments that start and end at
/// `pointers` (N + 1); N for positions in none.
at::Tensor segments_kernel(const at::Tensor& pointers, std::int64_t count);

}  // namespace torchml::ops
