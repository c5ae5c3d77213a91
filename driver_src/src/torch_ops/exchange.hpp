#pragma once

#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <memory>

namespace torchml {

/// Fills the rows of nodes that other ranks own.
class RowExchange {
  public:
    virtual ~RowExchange() = default;

    /// rows (n, ...), contiguous, on the CPU: sends the rows of this rank's nodes to the ranks that
    /// need them, and overwrites those of other ranks' nodes. Collective.
    virtual void forward(at::Tensor& rows) = 0;

    /// The same for gradients: adds those of other ranks' nodes up where they are owned, and sets
    /// them to zero here. Collective.
    virtual void backward(at::Tensor& rows) = 0;
};

/// While it lives, torch.ops.torchml.exchange in this thread uses `exchange`; without one, or with
/// nullptr, it is the identity.
class ExchangeScope {
  public:
    explicit ExchangeScope(std::shared_ptr<RowExchange> exchange);
    ~ExchangeScope();
    ExchangeScope(const ExchangeScope&) = delete;
    ExchangeScope& operator=(const ExchangeScope&) = delete;

  private:
    std::shared_ptr<RowExchange> before_;
};

/// What the operator does to features, or its backward pass to gradients, for compiled models: a
/// new tensor, or the same without an exchange in this thread. Collective.
at::Tensor exchange_rows(const at::Tensor& rows, bool backward);

namespace ops {

/// Defines exchange(Tensor features) -> Tensor.
void define_exchange_operator(torch::Library& library);

}  // namespace ops

}  // namespace torchml
