#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <vector>

namespace torchml {

/// Copies a model's inputs to its device and its results back. On a GPU, all copies of a step are
/// queued one after the other from pinned memory, and the host waits once, at the end.
class Transfer {
  public:
    explicit Transfer(c10::Device device) : device_(device) {}

    c10::Device device() const { return device_; }

    /// Copies inputs from the CPU to the device.
    std::vector<at::Tensor> to_device(std::vector<at::Tensor> inputs) const;

    /// A result on the CPU, float64, contiguous, without its autograd graph; complete after wait().
    at::Tensor to_host(const at::Tensor& result) const;

    /// Waits for all queued work.
    void wait() const;

    /// The widest type that the device can sum in.
    at::ScalarType widest() const { return device_.is_mps() ? at::kFloat : at::kDouble; }

  private:
    c10::Device device_;
};

}  // namespace torchml
