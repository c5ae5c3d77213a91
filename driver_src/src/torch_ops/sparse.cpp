#include "torch_ops/sparse.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "torch_ops/reductions.hpp"

namespace torchml::ops {

namespace {

/// (M + 1): where each of M rows starts among entries that are sorted by row.
at::Tensor ind2ptr(const at::Tensor& ind, std::int64_t m) {
    TORCH_CHECK(ind.scalar_type() == at::kLong, "ind must be int64, not ", ind.scalar_type());
    return at::searchsorted(ind.contiguous(), at::arange(m + 1, ind.options()));
}

/// (E): each entry's row, from where the rows start.
at::Tensor ptr2ind(const at::Tensor& ptr, std::int64_t e) { return segments(ptr, e); }

/// The terms of a sparse matrix (rowptr, col, value) times a dense one (..., N, K).
Terms product_terms(const OptionalTensor& row, const at::Tensor& rowptr, const at::Tensor& col,
                    const OptionalTensor& value, const at::Tensor& mat) {
    TORCH_CHECK(rowptr.dim() == 1 && col.dim() == 1, "rowptr and col must be vectors");
    TORCH_CHECK(mat.dim() >= 2, "the dense matrix has ", mat.dim(), " dimension(s), not 2 or more");
    TORCH_CHECK(!value || (value->dim() == 1 && value->size(0) == col.size(0)),
                "value must be a vector with an entry for each entry of col");
    Terms terms;
    terms.dim = mat.dim() - 2;
    terms.to = row ? *row : segments(rowptr, col.numel());
    terms.from = col;
    if (value) terms.weight = *value;
    terms.rows = rowptr.numel() - 1;
    return terms;
}

// The last arguments, where each column starts and how to sort by column, spare the original's
// gradient a sort. This implementation needs none.

at::Tensor spmm_sum(const OptionalTensor& row, const at::Tensor& rowptr, const at::Tensor& col,
                    const OptionalTensor& value, const OptionalTensor& /*colptr*/,
                    const OptionalTensor& /*csr2csc*/, const at::Tensor& mat) {
    return sum(mat, product_terms(row, rowptr, col, value, mat));
}

at::Tensor spmm_mean(const OptionalTensor& row, const at::Tensor& rowptr, const at::Tensor& col,
                     const OptionalTensor& value, const OptionalTensor& /*rowcount*/,
                     const OptionalTensor& /*colptr*/, const OptionalTensor& /*csr2csc*/,
                     const at::Tensor& mat) {
    const auto terms = product_terms(row, rowptr, col, value, mat);
    const at::Tensor total = sum(mat, terms);
    const at::Tensor count =
        (rowptr.narrow(0, 1, terms.rows) - rowptr.narrow(0, 0, terms.rows)).clamp_min_(1);
    const at::Tensor divisor = count.to(mat.options()).unsqueeze(-1);
    if (c10::isIntegralType(mat.scalar_type(), /*includeBool=*/true)) {
        return total.div(divisor, "trunc");
    }
    return total / divisor;
}

template <bool largest>
std::tuple<at::Tensor, at::Tensor> spmm_extreme(const at::Tensor& rowptr, const at::Tensor& col,
                                                const OptionalTensor& value,
                                                const at::Tensor& mat) {
    return extreme(mat, product_terms({}, rowptr, col, value, mat), largest);
}

/// Where the entries of an (M, N) matrix without its k-th diagonal, sorted by row and column, end
/// up when the diagonal is inserted: a mask over all entries, false for the diagonal's.
at::Tensor non_diag_mask(const at::Tensor& row, const at::Tensor& col, std::int64_t m,
                         std::int64_t n, std::int64_t k) {
    const std::int64_t count = row.size(0);
    const std::int64_t diagonal =
        std::max<std::int64_t>(0, k < 0 ? std::min(m + k, n) : std::min(m, n - k));
    // Diagonal entry j lies in row j - min(k, 0), which gives the number in the rows above.
    const at::Tensor above = k < 0 ? row + k : row;
    const at::Tensor inside = above.ge(0).logical_and_(above.lt(diagonal));
    const at::Tensor distance = col - row - k;
    const at::Tensor before =
        above.clamp(0, diagonal) + inside.logical_and(distance.gt(0)).to(at::kLong);
    const at::Tensor place = at::arange(count, row.options()) + before;
    at::Tensor mask = at::zeros({count + diagonal}, row.options().dtype(at::kBool));
    return mask.scatter_(0, place, distance.ne(0));
}

}  // namespace

void define_sparse_operators(torch::Library& library) {
    library.def("ind2ptr(Tensor ind, int M) -> Tensor", &ind2ptr);
    library.def("ptr2ind(Tensor ptr, int E) -> Tensor", &ptr2ind);
    library.def(
        "spmm_sum(Tensor? row, Tensor rowptr, Tensor col, Tensor? value, Tensor? colptr, "
        "Tensor? csr2csc, Tensor mat) -> Tensor",
        &spmm_sum);
    library.def(
        "spmm_mean(Tensor? row, Tensor rowptr, Tensor col, Tensor? value, Tensor? rowcount, "
        "Tensor? colptr, Tensor? csr2csc, Tensor mat) -> Tensor",
        &spmm_mean);
    library.def(
        "spmm_min(Tensor rowptr, Tensor col, Tensor? value, Tensor mat) -> (Tensor, Tensor)",
        &spmm_extreme<false>);
    library.def(
        "spmm_max(Tensor rowptr, Tensor col, Tensor? value, Tensor mat) -> (Tensor, Tensor)",
        &spmm_extreme<true>);
    library.def("non_diag_mask(Tensor row, Tensor col, int M, int N, int k) -> Tensor",
                &non_diag_mask);
    // A build without CUDA code returns -1.
    library.def("cuda_version() -> int", [] { return std::int64_t{-1}; });
}

}  // namespace torchml::ops
