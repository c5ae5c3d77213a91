#include "torch_ops/scatter.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "torch_ops/reductions.hpp"

namespace torchml::ops {

namespace {

using OptionalSize = c10::optional<std::int64_t>;
using Values = std::tuple<at::Tensor, at::Tensor>;  // values, and the term of each

std::int64_t wrapped(std::int64_t dim, const at::Tensor& source) {
    const std::int64_t result = dim < 0 ? dim + source.dim() : dim;
    TORCH_CHECK(result >= 0 && result < source.dim(), "dimension ", dim, " of a tensor that has ",
                source.dim());
    return result;
}

/// An index for Terms::to: broadcast to `sizes`, unless one number holds for a whole slice. Nearly
/// all models write the latter, which needs no memory per element.
at::Tensor lanes(const at::Tensor& index, at::IntArrayRef sizes, std::int64_t dim) {
    const auto dims = static_cast<std::int64_t>(sizes.size());
    if (index.dim() == 1 && index.size(0) == sizes[static_cast<std::size_t>(dim)]) {
        return index.contiguous();
    }
    at::Tensor view = index;
    if (view.dim() == 1) {
        for (std::int64_t d = 0; d < dim; ++d) view = view.unsqueeze(0);
    }
    while (view.dim() < dims) view = view.unsqueeze(-1);
    view = view.expand(sizes);
    if (view.numel() == 0 || dims == 1) return view.contiguous();
    for (std::int64_t d = 0; d < dims; ++d) {
        if (d != dim && view.size(d) != 1 && view.stride(d) != 0) return view;
    }
    for (std::int64_t d = dims - 1; d >= 0; --d) {
        if (d != dim) view = view.select(d, 0);
    }
    return view.contiguous();
}

Terms terms_of(std::int64_t dim, const at::Tensor& to, std::int64_t rows) {
    Terms terms;
    terms.dim = dim;
    terms.to = to;
    terms.rows = rows;
    return terms;
}

/// The terms of a reduction by an index in coordinate form.
Terms coordinate_terms(const at::Tensor& source, const at::Tensor& index, std::int64_t dim,
                       const OptionalTensor& out, const OptionalSize& dim_size) {
    TORCH_CHECK(index.scalar_type() == at::kLong, "index must be int64, not ", index.scalar_type());
    std::int64_t rows = 0;
    if (out) {
        TORCH_CHECK(out->dim() == source.dim(), "out has ", out->dim(), " dimensions, src has ",
                    source.dim());
        TORCH_CHECK(out->sizes() == resized(source.sizes(), dim, out->size(dim)), "out has sizes ",
                    out->sizes(), ", which do not fit src's, ", source.sizes());
        rows = out->size(dim);
    } else if (dim_size) {
        rows = *dim_size;
    } else if (index.numel() != 0) {
        // The result's size follows from the index, which means waiting for a GPU. Models avoid
        // that by giving dim_size, as they should.
        rows = index.max().item<std::int64_t>() + 1;
    }
    return terms_of(dim, lanes(index, source.sizes(), dim), rows);
}

/// The number of terms of each row, at least 1, to divide by: (rows) along the dimension, or one
/// number for every element.
at::Tensor counts(const at::Tensor& source, const Terms& terms) {
    if (terms.to.dim() == 1) {
        const at::Tensor ones = at::ones({terms.to.size(0)}, source.options());
        std::vector<std::int64_t> sizes(static_cast<std::size_t>(source.dim()), 1);
        sizes[static_cast<std::size_t>(terms.dim)] = terms.rows;
        return sum(ones, terms_of(0, terms.to, terms.rows)).clamp_min_(1).view(sizes);
    }
    const at::Tensor ones = at::ones(source.sizes(), source.options());
    return sum(ones, terms).clamp_min_(1);
}

/// Computes total /= count; `rounding` ("floor" or "trunc") says how to round whole numbers.
at::Tensor divide(at::Tensor total, const at::Tensor& count, const char* rounding) {
    if (!c10::isIntegralType(total.scalar_type(), /*includeBool=*/true)) return total.div_(count);
    return total.div_(count, rounding);
}

at::Tensor accumulated(const at::Tensor& source, const Terms& terms, const OptionalTensor& out) {
    const at::Tensor total = sum(source, terms);
    if (!out) return total;
    at::Tensor result = *out;
    return result.add_(total);
}

at::Tensor mean(const at::Tensor& source, const Terms& terms, const OptionalTensor& out,
                const char* rounding) {
    return divide(accumulated(source, terms, out), counts(source, terms), rounding);
}

/// The smallest or largest of each row's terms and, if given, of the value in `out`, which wins
/// ties and counts as the term E.
Values extreme_with(const at::Tensor& source, const Terms& terms, const OptionalTensor& out,
                    bool largest) {
    auto [values, argument] = extreme(source, terms, largest);
    if (!out) return {values, argument};
    at::Tensor result = *out;
    const std::int64_t none = source.size(terms.dim);
    const at::Tensor better =
        (largest ? values.gt(result) : values.lt(result)).logical_and_(argument.ne(none));
    result.copy_(at::where(better, values, result.clone()));
    return {result, argument.masked_fill(better.logical_not(), none)};
}

// By coordinates: index[e] is the row of slice e.

at::Tensor scatter_sum(const at::Tensor& source, const at::Tensor& index, std::int64_t dim,
                       const OptionalTensor& out, OptionalSize dim_size) {
    const auto terms = coordinate_terms(source, index, wrapped(dim, source), out, dim_size);
    return accumulated(source, terms, out);
}

at::Tensor scatter_mul(const at::Tensor& source, const at::Tensor& index, std::int64_t dim,
                       const OptionalTensor& out, OptionalSize dim_size) {
    const auto terms = coordinate_terms(source, index, wrapped(dim, source), out, dim_size);
    if (source.numel() == 0 && out) return *out;
    // A row without factors is 1; but if there are none at all, the original gives zeros.
    const at::Tensor result = source.numel() == 0 ? sum(source, terms) : product(source, terms);
    if (!out) return result;
    at::Tensor target = *out;
    return target.mul_(result);
}

at::Tensor scatter_mean(const at::Tensor& source, const at::Tensor& index, std::int64_t dim,
                        const OptionalTensor& out, OptionalSize dim_size) {
    const auto terms = coordinate_terms(source, index, wrapped(dim, source), out, dim_size);
    // The original counts the entries of the index itself, not those of its broadcast.
    const bool single = index.size(std::min(terms.dim, index.dim() - 1)) == 1;
    return single ? accumulated(source, terms, out) : mean(source, terms, out, "floor");
}

template <bool largest>
Values scatter_extreme(const at::Tensor& source, const at::Tensor& index, std::int64_t dim,
                       const OptionalTensor& out, OptionalSize dim_size) {
    const auto terms = coordinate_terms(source, index, wrapped(dim, source), out, dim_size);
    return extreme_with(source, terms, out, largest);
}

/// Like coordinate_terms, for an ascending index whose last dimension is reduced.
Terms sorted_terms(const at::Tensor& source, const at::Tensor& index, const OptionalTensor& out,
                   OptionalSize dim_size) {
    const std::int64_t dim = index.dim() - 1;
    TORCH_CHECK(dim >= 0 && dim < source.dim(), "index has ", index.dim(), " dimensions, src has ",
                source.dim());
    const auto leading = source.sizes().slice(0, static_cast<std::size_t>(dim) + 1);
    if (!out && !dim_size && index.numel() != 0) {  // waits for a GPU, see above
        dim_size = index.select(dim, index.size(dim) - 1).max().item<std::int64_t>() + 1;
    }
    return coordinate_terms(source, index.expand(leading), dim, out, dim_size);
}

at::Tensor segment_sum_coo(const at::Tensor& source, const at::Tensor& index,
                           const OptionalTensor& out, OptionalSize dim_size) {
    return accumulated(source, sorted_terms(source, index, out, dim_size), out);
}

at::Tensor segment_mean_coo(const at::Tensor& source, const at::Tensor& index,
                            const OptionalTensor& out, OptionalSize dim_size) {
    return mean(source, sorted_terms(source, index, out, dim_size), out, "trunc");
}

template <bool largest>
Values segment_extreme_coo(const at::Tensor& source, const at::Tensor& index,
                           const OptionalTensor& out, OptionalSize dim_size) {
    return extreme_with(source, sorted_terms(source, index, out, dim_size), out, largest);
}

/// Slices of `source` along `dim`, by an index; written to `out` if given.
at::Tensor gathered(const at::Tensor& source, const at::Tensor& index, std::int64_t dim,
                    const OptionalTensor& out) {
    const auto sizes = resized(source.sizes(), dim, index.size(-1));
    if (source.numel() == 0 && out) return *out;
    if (source.size(dim) == 0 && index.numel() != 0) return at::zeros(sizes, source.options());
    const at::Tensor result = take(source, dim, lanes(index, sizes, dim));
    if (!out) return result;
    at::Tensor target = *out;
    return target.copy_(result);
}

at::Tensor gather_coo(const at::Tensor& source, const at::Tensor& index,
                      const OptionalTensor& out) {
    const std::int64_t dim = index.dim() - 1;
    TORCH_CHECK(dim >= 0 && dim < source.dim(), "index has ", index.dim(), " dimensions, src has ",
                source.dim());
    return gathered(source, index, dim, out);
}

// By pointers: row r has the slices pointers[r] to pointers[r + 1] - 1.

/// Pointers with their leading dimensions broadcast to the source's.
at::Tensor checked_pointers(const at::Tensor& source, const at::Tensor& pointers) {
    const std::int64_t dim = pointers.dim() - 1;
    TORCH_CHECK(dim >= 0 && dim < source.dim(), "indptr has ", pointers.dim(),
                " dimensions, src has ", source.dim());
    return pointers.expand(resized(source.sizes().slice(0, static_cast<std::size_t>(dim) + 1), dim,
                                   pointers.size(dim)));
}

/// The facts of one reduction by pointers; slices outside all segments go to an extra row.
struct Segments {
    at::Tensor pointers;  // (..., rows + 1)
    std::int64_t dim = 0;
    std::int64_t rows = 0;
    std::vector<std::int64_t> sizes;  // of the result

    Segments(const at::Tensor& source, const at::Tensor& indptr, const OptionalTensor& out)
        : pointers(checked_pointers(source, indptr)),
          dim(indptr.dim() - 1),
          rows(std::max<std::int64_t>(0, indptr.size(-1) - 1)),
          sizes(resized(source.sizes(), dim, rows)) {
        TORCH_CHECK(!out || source.numel() == 0 || out->sizes() == sizes, "out has sizes ",
                    out ? out->sizes() : at::IntArrayRef(), "; expected ", at::IntArrayRef(sizes));
    }

    Terms terms(const at::Tensor& source) const {
        const at::Tensor index = segments(pointers, source.size(dim));
        return terms_of(dim, lanes(index, source.sizes(), dim), rows + 1);
    }

    at::Tensor without_last(const at::Tensor& result) const { return result.narrow(dim, 0, rows); }

    at::Tensor counts(const at::Tensor& source) const {
        at::Tensor count = pointers.narrow(-1, 1, rows) - pointers.narrow(-1, 0, rows);
        count = count.clamp_min_(1).to(source.options());
        while (count.dim() < source.dim()) count = count.unsqueeze(-1);
        return count;
    }
};

/// A new result, or `out`.
at::Tensor stored(const at::Tensor& result, const OptionalTensor& out) {
    if (!out) return result;
    at::Tensor target = *out;
    return target.copy_(result);
}

at::Tensor segment_sum_csr(const at::Tensor& source, const at::Tensor& indptr,
                           const OptionalTensor& out) {
    const Segments by(source, indptr, out);
    if (source.numel() == 0 && out) return *out;
    return stored(by.without_last(sum(source, by.terms(source))), out);
}

at::Tensor segment_mean_csr(const at::Tensor& source, const at::Tensor& indptr,
                            const OptionalTensor& out) {
    const Segments by(source, indptr, out);
    if (source.numel() == 0 && out) return *out;
    const at::Tensor total = by.without_last(sum(source, by.terms(source)));
    return stored(divide(total, by.counts(source), "trunc"), out);
}

template <bool largest>
Values segment_extreme_csr(const at::Tensor& source, const at::Tensor& indptr,
                           const OptionalTensor& out) {
    const Segments by(source, indptr, out);
    const auto [values, argument] = extreme(source, by.terms(source), largest);
    const at::Tensor result = by.without_last(values);
    return {source.numel() == 0 && out ? *out : stored(result, out), by.without_last(argument)};
}

at::Tensor gather_csr(const at::Tensor& source, const at::Tensor& indptr,
                      const OptionalTensor& out) {
    const at::Tensor pointers = checked_pointers(source, indptr);
    const std::int64_t dim = indptr.dim() - 1;
    TORCH_CHECK(source.size(dim) == 0 || source.size(dim) == pointers.size(dim) - 1, "src has ",
                source.size(dim), " rows, indptr is for ", pointers.size(dim) - 1);
    std::int64_t count = 0;
    if (out) {
        count = out->size(dim);
    } else if (source.numel() != 0) {
        // The number of slices follows from the pointers, which means waiting for a GPU, unless
        // `out` gives it.
        count = pointers.flatten()[-1].item<std::int64_t>();
    }
    const at::Tensor index =
        source.numel() != 0 ? segments(pointers, count) : at::zeros({count}, indptr.options());
    return gathered(source, index, dim, out);
}

}  // namespace

void define_scatter_operators(torch::Library& library) {
    library.def(
        "scatter_sum(Tensor src, Tensor index, int dim, Tensor(a!)? out, int? dim_size) -> "
        "Tensor(a!)",
        &scatter_sum);
    library.def(
        "scatter_mul(Tensor src, Tensor index, int dim, Tensor(a!)? out, int? dim_size) -> "
        "Tensor(a!)",
        &scatter_mul);
    library.def(
        "scatter_mean(Tensor src, Tensor index, int dim, Tensor(a!)? out, int? dim_size) -> "
        "Tensor(a!)",
        &scatter_mean);
    library.def(
        "scatter_min(Tensor src, Tensor index, int dim, Tensor(a!)? out, int? dim_size) -> "
        "(Tensor(a!), Tensor)",
        &scatter_extreme<false>);
    library.def(
        "scatter_max(Tensor src, Tensor index, int dim, Tensor(a!)? out, int? dim_size) -> "
        "(Tensor(a!), Tensor)",
        &scatter_extreme<true>);
    library.def(
        "segment_sum_coo(Tensor src, Tensor index, Tensor(a!)? out, int? dim_size) -> Tensor(a!)",
        &segment_sum_coo);
    library.def(
        "segment_mean_coo(Tensor src, Tensor index, Tensor(a!)? out, int? dim_size) -> Tensor(a!)",
        &segment_mean_coo);
    library.def(
        "segment_min_coo(Tensor src, Tensor index, Tensor(a!)? out, int? dim_size) -> "
        "(Tensor(a!), Tensor)",
        &segment_extreme_coo<false>);
    library.def(
        "segment_max_coo(Tensor src, Tensor index, Tensor(a!)? out, int? dim_size) -> "
        "(Tensor(a!), Tensor)",
        &segment_extreme_coo<true>);
    library.def("gather_coo(Tensor src, Tensor index, Tensor(a!)? out) -> Tensor(a!)", &gather_coo);
    library.def("segment_sum_csr(Tensor src, Tensor indptr, Tensor(a!)? out) -> Tensor(a!)",
                &segment_sum_csr);
    library.def("segment_mean_csr(Tensor src, Tensor indptr, Tensor(a!)? out) -> Tensor(a!)",
                &segment_mean_csr);
    library.def(
        "segment_min_csr(Tensor src, Tensor indptr, Tensor(a!)? out) -> (Tensor(a!), Tensor)",
        &segment_extreme_csr<false>);
    library.def(
        "segment_max_csr(Tensor src, Tensor indptr, Tensor(a!)? out) -> (Tensor(a!), Tensor)",
        &segment_extreme_csr<true>);
    library.def("gather_csr(Tensor src, Tensor indptr, Tensor(a!)? out) -> Tensor(a!)",
                &gather_csr);
    // A build without CUDA code returns -1.
    library.def("cuda_version() -> int", [] { return std::int64_t{-1}; });
}

}  // namespace torchml::ops
