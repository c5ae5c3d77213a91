#include "torch_ops/reductions.hpp"

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scatter_reduce.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>
#include <vector>

namespace torchml::ops {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

OptionalTensor optional(const at::Tensor& tensor) {
    return tensor.defined() ? OptionalTensor(tensor) : OptionalTensor();
}

at::Tensor tensor_or_none(const OptionalTensor& tensor) { return tensor ? *tensor : at::Tensor(); }

/// A vector along `dim` of a tensor of `dims` dimensions.
at::Tensor along(const at::Tensor& vector, std::int64_t dim, std::int64_t dims) {
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(dims), 1);
    sizes[static_cast<std::size_t>(dim)] = -1;
    return vector.view(sizes);
}

/// The terms themselves, for devices and types without kernels.
at::Tensor expanded(const at::Tensor& source, const Terms& terms) {
    if (!terms.from.defined()) return source;
    const at::Tensor slices = source.index_select(terms.dim, terms.from);
    if (!terms.weight.defined()) return slices;
    return slices * along(terms.weight, terms.dim, source.dim());
}

/// Each term's row, in the shape of the terms (a view: nothing is copied).
at::Tensor expanded_rows(const at::Tensor& like, const Terms& terms) {
    if (terms.to.dim() == like.dim() && terms.to.dim() != 1) return terms.to;
    return along(terms.to, terms.dim, like.dim()).expand_as(like);
}

at::Tensor sum_without_graph(const at::Tensor& source, const Terms& terms) {
    if (has_kernels(source)) return sum_kernel(source, terms);
    const at::Tensor slices = expanded(source, terms);
    at::Tensor result = at::zeros(resized(source.sizes(), terms.dim, terms.rows), source.options());
    if (terms.to.dim() == 1) return result.index_add_(terms.dim, terms.to, slices);
    return result.scatter_add_(terms.dim, terms.to, slices);
}

std::tuple<at::Tensor, at::Tensor> extreme_without_graph(const at::Tensor& source,
                                                         const Terms& terms, bool largest) {
    if (has_kernels(source)) return extreme_kernel(source, terms, largest);
    const std::int64_t count = terms.count(source);
    const auto sizes = resized(source.sizes(), terms.dim, terms.rows);
    at::Tensor slices = expanded(source, terms);
    const at::Tensor rows = expanded_rows(slices, terms);
    at::Scalar worst;
    AT_DISPATCH_ALL_TYPES_AND2(at::kHalf, at::kBFloat16, source.scalar_type(), "extreme", [&] {
        worst = largest ? std::numeric_limits<scalar_t>::lowest()
                        : std::numeric_limits<scalar_t>::max();
    });
    // The worst value itself, and nan, are never better than no term.
    const at::Tensor candidate = largest ? slices.gt(worst) : slices.lt(worst);
    slices = slices.masked_fill(candidate.logical_not(), worst);
    at::Tensor result = at::full(sizes, worst, source.options());
    result = at::scatter_reduce(result, terms.dim, rows, slices, largest ? "amax" : "amin");
    const at::Tensor hit = slices.eq(result.gather(terms.dim, rows)).logical_and_(candidate);
    const auto integers = source.options().dtype(at::kLong);
    const at::Tensor number = along(at::arange(count, integers), terms.dim, source.dim())
                                  .expand_as(slices)
                                  .masked_fill(hit.logical_not(), count);
    const at::Tensor argument =
        at::scatter_reduce(at::full(sizes, count, integers), terms.dim, rows, number, "amin");
    return {result.masked_fill_(argument.eq(count), 0), argument};
}

at::Tensor dot(const at::Tensor& a, const at::Tensor& from, const at::Tensor& b,
               const at::Tensor& to, std::int64_t dim);

/// Σ of terms. Its derivatives are sums and scalar products over the same pairs (from, to), so no
/// (E, width) tensor is ever made, whatever the order of differentiation.
class Sum : public Function<Sum> {
  public:
    static at::Tensor forward(AutogradContext* context, const at::Tensor& source,
                              const at::Tensor& to, const OptionalTensor& optional_from,
                              const OptionalTensor& optional_weight, std::int64_t dim,
                              std::int64_t rows) {
        const at::Tensor from = tensor_or_none(optional_from);
        const at::Tensor weight = tensor_or_none(optional_weight);
        context->saved_data["dim"] = dim;
        context->saved_data["length"] = source.size(dim);
        context->saved_data["by_source"] = source.requires_grad();
        const at::Tensor kept = weight.defined() ? source : at::Tensor();
        context->save_for_backward({kept, to, from, weight});
        return sum_without_graph(source, {dim, to, from, weight, rows});
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor &source = saved[0], &to = saved[1], &from = saved[2], &weight = saved[3];
        const std::int64_t dim = context->saved_data["dim"].toInt();
        const std::int64_t length = context->saved_data["length"].toInt();
        variable_list result(6);
        if (!gradients[0].defined()) return result;
        if (context->saved_data["by_source"].toBool()) {
            result[0] = from.defined() ? sum(gradients[0], {dim, from, to, weight, length})
                                       : take(gradients[0], dim, to);
        }
        if (weight.defined() && weight.requires_grad()) {
            result[3] = dot(source, from, gradients[0], to, dim);
        }
        return result;
    }
};

class Dot : public Function<Dot> {
  public:
    static at::Tensor forward(AutogradContext* context, const at::Tensor& a, const at::Tensor& from,
                              const at::Tensor& b, const at::Tensor& to, std::int64_t dim) {
        context->saved_data["dim"] = dim;
        context->save_for_backward({a, from, b, to});
        if (has_kernels(a)) return dot_kernel(a, from, b, to, dim);
        at::Tensor products = a.index_select(dim, from) * b.index_select(dim, to);
        return products.transpose(0, dim).flatten(1).sum(1);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor &a = saved[0], &from = saved[1], &b = saved[2], &to = saved[3];
        const std::int64_t dim = context->saved_data["dim"].toInt();
        variable_list result(5);
        if (!gradients[0].defined()) return result;
        if (a.requires_grad()) result[0] = sum(b, {dim, from, to, gradients[0], a.size(dim)});
        if (b.requires_grad()) result[2] = sum(a, {dim, to, from, gradients[0], b.size(dim)});
        return result;
    }
};

at::Tensor dot(const at::Tensor& a, const at::Tensor& from, const at::Tensor& b,
               const at::Tensor& to, std::int64_t dim) {
    return Dot::apply(a, from, b, to, dim);
}

/// Like index_select and gather, but the kernel above sums its gradient, which is faster on CPUs.
class Take : public Function<Take> {
  public:
    static at::Tensor forward(AutogradContext* context, const at::Tensor& source,
                              const at::Tensor& index, std::int64_t dim) {
        context->saved_data["dim"] = dim;
        context->saved_data["length"] = source.size(dim);
        context->save_for_backward({index});
        return index.dim() == 1 ? source.index_select(dim, index) : source.gather(dim, index);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        variable_list result(3);
        if (!gradients[0].defined()) return result;
        Terms terms;
        terms.dim = context->saved_data["dim"].toInt();
        terms.to = saved[0];
        terms.rows = context->saved_data["length"].toInt();
        result[0] = sum(gradients[0], terms);
        return result;
    }
};

/// The smallest or largest terms; they receive the gradient.
class Winners : public Function<Winners> {
  public:
    static variable_list forward(AutogradContext* context, const at::Tensor& source,
                                 const at::Tensor& to, const OptionalTensor& optional_from,
                                 const OptionalTensor& optional_weight, std::int64_t dim,
                                 std::int64_t rows, bool largest) {
        const at::Tensor from = tensor_or_none(optional_from);
        const at::Tensor weight = tensor_or_none(optional_weight);
        const Terms terms{dim, to, from, weight, rows};
        auto [values, argument] = extreme_without_graph(source, terms, largest);
        context->saved_data["dim"] = dim;
        context->saved_data["sizes"] = source.sizes().vec();
        context->saved_data["by_source"] = source.requires_grad();
        const at::Tensor kept = weight.defined() ? source : at::Tensor();
        context->save_for_backward({kept, from, weight, argument});
        context->mark_non_differentiable({argument});
        return {values, argument};
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor &source = saved[0], &from = saved[1], &weight = saved[2];
        const at::Tensor &argument = saved[3], &gradient = gradients[0];
        const std::int64_t dim = context->saved_data["dim"].toInt();
        auto sizes = context->saved_data["sizes"].toIntVector();
        auto& length = sizes[static_cast<std::size_t>(dim)];
        variable_list result(7);
        if (!gradient.defined()) return result;
        if (!from.defined()) {
            ++length;  // rows without terms use an additional slice
            result[0] = at::zeros(sizes, gradient.options())
                            .scatter(dim, argument, gradient)
                            .narrow(dim, 0, length - 1);
            return result;
        }
        const std::int64_t count = from.numel();
        if (count == 0) {
            result[0] = at::zeros(sizes, gradient.options());
            if (weight.defined()) result[3] = at::zeros({0}, gradient.options());
            return result;
        }
        const at::Tensor none = argument.eq(count);
        const at::Tensor winner = argument.masked_fill(none, 0).flatten();
        const at::Tensor slice = from.index_select(0, winner).view_as(argument);
        const at::Tensor known = gradient.masked_fill(none, 0);
        if (context->saved_data["by_source"].toBool()) {
            const at::Tensor part =
                weight.defined() ? known * weight.index_select(0, winner).view_as(known) : known;
            result[0] = at::zeros(sizes, gradient.options()).scatter_add(dim, slice, part);
        }
        if (weight.defined() && weight.requires_grad()) {
            const at::Tensor part = source.gather(dim, slice) * known;
            result[3] =
                at::zeros({count}, gradient.options()).scatter_add(0, winner, part.flatten());
        }
        return result;
    }
};

}  // namespace

at::Tensor sum(const at::Tensor& source, const Terms& terms) {
    return Sum::apply(source, terms.to, optional(terms.from), optional(terms.weight), terms.dim,
                      terms.rows);
}

at::Tensor product(const at::Tensor& source, const Terms& terms) {
    const at::Tensor ones =
        at::ones(resized(source.sizes(), terms.dim, terms.rows), source.options());
    return at::scatter_reduce(ones, terms.dim, expanded_rows(source, terms), source, "prod");
}

std::tuple<at::Tensor, at::Tensor> extreme(const at::Tensor& source, const Terms& terms,
                                           bool largest) {
    const auto result = Winners::apply(source, terms.to, optional(terms.from),
                                       optional(terms.weight), terms.dim, terms.rows, largest);
    return {result[0], result[1]};
}

at::Tensor take(const at::Tensor& source, std::int64_t dim, const at::Tensor& index) {
    return Take::apply(source, index, dim);
}

at::Tensor segments(const at::Tensor& pointers, std::int64_t count) {
    TORCH_CHECK(pointers.scalar_type() == at::kLong, "pointers must be int64, not ",
                pointers.scalar_type());
    if (pointers.dim() == 1 && pointers.device().is_cpu()) return segments_kernel(pointers, count);
    const std::int64_t n = pointers.size(-1) - 1;
    auto sizes = pointers.sizes().vec();
    sizes.back() = count;
    const at::Tensor positions = at::arange(count, pointers.options()).expand(sizes).contiguous();
    // The last pointer that is not beyond a position opens the segment in which it lies, even if
    // segments are empty.
    const at::Tensor found = at::searchsorted(pointers.contiguous(), positions,
                                              /*out_int32=*/false, /*right=*/true) -
                             1;
    return found.masked_fill(found.lt(0), n);
}

}  // namespace torchml::ops
