#include "torch_ops/kernels.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace torchml::ops {

namespace {

/// The number of additions below which another thread does not pay; the same as ATen's.
constexpr std::int64_t thread_work = 32768;

/// A tensor as (outer, length, inner) around one dimension.
struct Layout {
    std::int64_t outer = 1, length = 0, inner = 1;

    Layout(const at::Tensor& tensor, std::int64_t dim) : length(tensor.size(dim)) {
        for (std::int64_t d = 0; d < dim; ++d) outer *= tensor.size(d);
        for (std::int64_t d = dim + 1; d < tensor.dim(); ++d) inner *= tensor.size(d);
    }
};

/// The index as contiguous int64, with all values checked to be in [0, limit): kernels use them to
/// read memory.
at::Tensor checked(const at::Tensor& index, std::int64_t limit, const char* name) {
    if (!index.defined()) return index;
    TORCH_CHECK(index.scalar_type() == at::kLong, name, " must be int64, not ",
                index.scalar_type());
    at::Tensor values = index.contiguous();
    const auto* value = values.data_ptr<std::int64_t>();
    const std::int64_t count = values.numel();
    std::int64_t low = 0, high = -1;
    for (std::int64_t e = 0; e < count; ++e) {
        low = std::min(low, value[e]);
        high = std::max(high, value[e]);
    }
    TORCH_CHECK(low >= 0 && high < limit, name, " has the value ", low < 0 ? low : high,
                ", which is not in [0, ", limit, ")");
    return values;
}

/// The terms of a reduction, with memory laid out for loops and every index in range.
class Loop {
  public:
    Loop(const at::Tensor& source, const Terms& terms)
        : layout_(source, terms.dim),
          rows_(terms.rows),
          count_(terms.count(source)),
          shared_(terms.to.dim() == 1),
          to_tensor_(checked(terms.to, terms.rows, "index")),
          from_tensor_(checked(terms.from, layout_.length, "col")) {
        TORCH_CHECK(!shared_ || to_tensor_.numel() == count_, "index has ", to_tensor_.numel(),
                    " entries for ", count_, " terms");
        to_ = to_tensor_.data_ptr<std::int64_t>();
        if (from_tensor_.defined()) from_ = from_tensor_.data_ptr<std::int64_t>();
    }

    std::int64_t count() const { return count_; }

    /// Calls visit(term, source offset, result offset, width) for runs of elements that share a
    /// term and a row. Threads divide the columns, never the terms of one column, so sums do not
    /// depend on the number of threads.
    template <class Visit>
    void run(const Visit& visit) const {
        const std::int64_t columns = layout_.outer * layout_.inner;
        if (columns == 0 || count_ == 0) return;
        constexpr std::int64_t cache_line = 16;  // elements; narrower strips would share lines
        const std::int64_t grain = std::max(cache_line, thread_work / count_);
        at::parallel_for(0, columns, grain, [&](std::int64_t begin, std::int64_t end) {
            while (begin < end) {
                const std::int64_t b = begin / layout_.inner;
                const std::int64_t k = begin % layout_.inner;
                const std::int64_t width = std::min(end - begin, layout_.inner - k);
                strip(b, k, width, visit);
                begin += width;
            }
        });
    }

    /// Calls visit(offset, width) for every stretch of the result.
    template <class Visit>
    void run_result(const Visit& visit) const {
        const std::int64_t size = layout_.outer * rows_ * layout_.inner;
        at::parallel_for(0, size, thread_work,
                         [&](std::int64_t begin, std::int64_t end) { visit(begin, end - begin); });
    }

  private:
    template <class Visit>
    void strip(std::int64_t b, std::int64_t k, std::int64_t width, const Visit& visit) const {
        const std::int64_t inner = layout_.inner;
        const std::int64_t source = b * layout_.length * inner + k;
        const std::int64_t result = b * rows_ * inner + k;
        if (shared_) {
            for (std::int64_t e = 0; e < count_; ++e) {
                const std::int64_t slice = from_ != nullptr ? from_[e] : e;
                visit(e, source + slice * inner, result + to_[e] * inner, width);
            }
            return;
        }
        for (std::int64_t e = 0; e < count_; ++e) {
            for (std::int64_t j = 0; j < width; ++j) {
                const std::int64_t offset = source + e * inner + j;
                visit(e, offset, result + to_[offset] * inner + j, 1);
            }
        }
    }

    Layout layout_;
    std::int64_t rows_;
    std::int64_t count_;
    bool shared_;  // one row for a whole slice
    at::Tensor to_tensor_, from_tensor_;
    const std::int64_t* to_ = nullptr;
    const std::int64_t* from_ = nullptr;
};

at::Tensor checked_weight(const Terms& terms, const at::Tensor& source) {
    if (!terms.weight.defined()) return terms.weight;
    TORCH_CHECK(terms.weight.scalar_type() == source.scalar_type(), "values of type ",
                terms.weight.scalar_type(), " cannot be multiplied with ", source.scalar_type());
    return terms.weight.contiguous();
}

}  // namespace

bool has_kernels(const at::Tensor& source) {
    if (!source.device().is_cpu()) return false;
    switch (source.scalar_type()) {  // those of AT_DISPATCH_ALL_TYPES
        case at::kDouble:
        case at::kFloat:
        case at::kLong:
        case at::kInt:
        case at::kShort:
        case at::kChar:
        case at::kByte:
            return true;
        default:
            return false;
    }
}

at::Tensor sum_kernel(const at::Tensor& source, const Terms& terms) {
    const Loop loop(source, terms);
    const at::Tensor values = source.contiguous();
    const at::Tensor weights = checked_weight(terms, source);
    at::Tensor result = at::zeros(resized(source.sizes(), terms.dim, terms.rows), source.options());
    AT_DISPATCH_ALL_TYPES(source.scalar_type(), "sum", [&] {
        const scalar_t* x = values.data_ptr<scalar_t>();
        scalar_t* y = result.data_ptr<scalar_t>();
        if (weights.defined()) {
            const scalar_t* weight = weights.data_ptr<scalar_t>();
            loop.run([=](std::int64_t e, std::int64_t in, std::int64_t out, std::int64_t width) {
                const scalar_t factor = weight[e];
                for (std::int64_t j = 0; j < width; ++j) y[out + j] += factor * x[in + j];
            });
        } else {
            loop.run([=](std::int64_t, std::int64_t in, std::int64_t out, std::int64_t width) {
                for (std::int64_t j = 0; j < width; ++j) y[out + j] += x[in + j];
            });
        }
    });
    return result;
}

std::tuple<at::Tensor, at::Tensor> extreme_kernel(const at::Tensor& source, const Terms& terms,
                                                  bool largest) {
    const Loop loop(source, terms);
    const at::Tensor values = source.contiguous();
    const at::Tensor weights = checked_weight(terms, source);
    const auto sizes = resized(source.sizes(), terms.dim, terms.rows);
    at::Tensor result = at::empty(sizes, source.options());
    at::Tensor argument = at::full(sizes, loop.count(), source.options().dtype(at::kLong));
    AT_DISPATCH_ALL_TYPES(source.scalar_type(), "extreme", [&] {
        const scalar_t* x = values.data_ptr<scalar_t>();
        const scalar_t* weight = weights.defined() ? weights.data_ptr<scalar_t>() : nullptr;
        scalar_t* y = result.data_ptr<scalar_t>();
        auto* winner = argument.data_ptr<std::int64_t>();
        result.fill_(largest ? std::numeric_limits<scalar_t>::lowest()
                             : std::numeric_limits<scalar_t>::max());
        const auto reduce = [&](const auto& better) {
            loop.run([&](std::int64_t e, std::int64_t in, std::int64_t out, std::int64_t width) {
                const scalar_t factor = weight != nullptr ? weight[e] : scalar_t(1);
                for (std::int64_t j = 0; j < width; ++j) {
                    const scalar_t term = factor * x[in + j];
                    if (better(term, y[out + j])) {
                        y[out + j] = term;
                        winner[out + j] = e;
                    }
                }
            });
        };
        if (largest) {
            reduce([](scalar_t a, scalar_t b) { return a > b; });
        } else {
            reduce([](scalar_t a, scalar_t b) { return a < b; });
        }
        const std::int64_t none = loop.count();
        loop.run_result([&](std::int64_t begin, std::int64_t width) {
            for (std::int64_t j = begin; j < begin + width; ++j) {
                if (winner[j] == none) y[j] = scalar_t(0);
            }
        });
    });
    return {result, argument};
}

at::Tensor dot_kernel(const at::Tensor& a, const at::Tensor& from, const at::Tensor& b,
                      const at::Tensor& to, std::int64_t dim) {
    const Layout left(a, dim), right(b, dim);
    const at::Tensor from_checked = checked(from, left.length, "col");
    const at::Tensor to_checked = checked(to, right.length, "row");
    const at::Tensor left_values = a.contiguous(), right_values = b.contiguous();
    const std::int64_t count = from.numel();
    at::Tensor result = at::empty({count}, a.options());
    AT_DISPATCH_ALL_TYPES(a.scalar_type(), "dot", [&] {
        const scalar_t* x = left_values.data_ptr<scalar_t>();
        const scalar_t* y = right_values.data_ptr<scalar_t>();
        const auto* column = from_checked.data_ptr<std::int64_t>();
        const auto* row = to_checked.data_ptr<std::int64_t>();
        scalar_t* sums = result.data_ptr<scalar_t>();
        const std::int64_t work = std::max<std::int64_t>(1, left.outer * left.inner);
        const std::int64_t grain = std::max<std::int64_t>(1, thread_work / work);
        at::parallel_for(0, count, grain, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t e = begin; e < end; ++e) {
                scalar_t sum = 0;
                for (std::int64_t o = 0; o < left.outer; ++o) {
                    const scalar_t* p = x + (o * left.length + column[e]) * left.inner;
                    const scalar_t* q = y + (o * right.length + row[e]) * right.inner;
                    for (std::int64_t k = 0; k < left.inner; ++k) sum += p[k] * q[k];
                }
                sums[e] = sum;
            }
        });
    });
    return result;
}

at::Tensor segments_kernel(const at::Tensor& pointers, std::int64_t count) {
    const at::Tensor starts = checked(pointers, count + 1, "pointers");
    const auto* start = starts.data_ptr<std::int64_t>();
    const std::int64_t n = std::max<std::int64_t>(0, starts.numel() - 1);
    at::Tensor result = at::full({count}, n, pointers.options());
    auto* segment = result.data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < n; ++i) {
        TORCH_CHECK(start[i] <= start[i + 1], "pointers must be in ascending order");
        std::fill(segment + start[i], segment + start[i + 1], i);
    }
    return result;
}

}  // namespace torchml::ops
