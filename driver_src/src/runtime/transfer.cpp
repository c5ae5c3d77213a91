#include "runtime/transfer.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace torchml {

std::vector<at::Tensor> Transfer::to_device(std::vector<at::Tensor> inputs) const {
    if (device_.is_cpu()) return inputs;
    for (at::Tensor& input : inputs) {
        // Torch keeps pinned memory from step to step, and does not reuse it before the copies that
        // read it are done.
        input = device_.is_cuda() ? input.pin_memory().to(device_, /*non_blocking=*/true)
                                  : input.to(device_);
    }
    return inputs;
}

at::Tensor Transfer::to_host(const at::Tensor& result) const {
    const at::Tensor plain = result.detach();
    if (!plain.is_cuda()) return plain.to(at::kCPU).to(at::kDouble).contiguous();
    const at::Tensor widened = plain.to(at::kDouble).contiguous();
    const auto options = at::TensorOptions().dtype(at::kDouble).pinned_memory(true);
    at::Tensor copy = at::empty(widened.sizes(), options);
    copy.copy_(widened, /*non_blocking=*/true);
    return copy;
}

void Transfer::wait() const {
    if (device_.is_cpu()) return;
    c10::impl::VirtualGuardImpl(device_.type()).getStream(device_).synchronize();
}

}  // namespace torchml
