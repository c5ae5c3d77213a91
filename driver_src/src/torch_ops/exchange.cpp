#include "torch_ops/exchange.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace torchml {

namespace {

thread_local std::shared_ptr<RowExchange> current;

/// A copy that MPI can read and write.
at::Tensor on_the_cpu(const at::Tensor& rows) {
    return rows.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous();
}

struct Exchange : torch::autograd::Function<Exchange> {
    /// Keeps this evaluation's exchange for the backward pass.
    struct Keeper : torch::CustomClassHolder {
        explicit Keeper(std::shared_ptr<RowExchange> kept) : exchange(std::move(kept)) {}
        std::shared_ptr<RowExchange> exchange;
    };

    static at::Tensor forward(torch::autograd::AutogradContext* context,
                              const at::Tensor& features) {
        context->saved_data["exchange"] =
            c10::IValue::make_capsule(c10::make_intrusive<Keeper>(current));
        at::Tensor rows = on_the_cpu(features);
        current->forward(rows);
        return rows.to(features.device());
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                   torch::autograd::variable_list gradients) {
        const auto kept = context->saved_data["exchange"].toCapsule();
        const auto* keeper = static_cast<const Keeper*>(kept.get());
        at::Tensor rows = on_the_cpu(gradients[0]);
        keeper->exchange->backward(rows);
        return {rows.to(gradients[0].device())};
    }
};

at::Tensor exchange(const at::Tensor& features) {
    TORCH_CHECK(features.dim() > 0,
                "torchml::exchange takes features with one row for each node, not a scalar");
    return current ? Exchange::apply(features) : features;
}

}  // namespace

at::Tensor exchange_rows(const at::Tensor& rows, bool backward) {
    if (!current) return rows;
    TORCH_CHECK(rows.dim() > 0, "an exchange takes one row for each node, not a scalar");
    at::Tensor exchanged = on_the_cpu(rows);
    backward ? current->backward(exchanged) : current->forward(exchanged);
    return exchanged;
}

ExchangeScope::ExchangeScope(std::shared_ptr<RowExchange> exchange)
    : before_(std::exchange(current, std::move(exchange))) {}

ExchangeScope::~ExchangeScope() { current = std::move(before_); }

void ops::define_exchange_operator(torch::Library& library) {
    library.def("exchange(Tensor(a) features) -> Tensor(a)", &exchange);
}

}  // namespace torchml
