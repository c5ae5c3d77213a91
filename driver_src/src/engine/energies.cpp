#include "engine/energies.hpp"

#include <ATen/ops/sum.h>

#include "engine/error.hpp"

namespace torchml {

std::string shape_of(const at::Tensor& tensor) {
    std::string text = "[";
    for (const auto size : tensor.sizes()) {
        text += (text.size() == 1 ? "" : ", ") + std::to_string(size);
    }
    return text + "]";
}

Energies read_energies(const at::Tensor& energies, std::int64_t n, std::int64_t n_contributing) {
    if (energies.numel() != 0) {
        at::Tensor rows = energies;
        // A batch of one, as some models have it; but one row may be a single particle's.
        const auto is_count = [&](std::int64_t size) {
            return size == n || size == n_contributing;
        };
        while (rows.dim() > 1 && rows.size(0) == 1 && !is_count(1)) rows = rows.squeeze(0);
        if (rows.dim() > 0 && is_count(rows.size(0))) {
            if (rows.numel() != rows.size(0)) rows = rows.flatten(1).sum(1);
            // All contribute: both readings are the same.
            const auto owners =
                rows.size(0) == n ? EnergyOwners::particles : EnergyOwners::contributing;
            return {owners, rows.reshape({-1}).contiguous()};
        }
        if (rows.numel() == 1) {
            const bool one = n_contributing == 1;
            return {one ? EnergyOwners::contributing : EnergyOwners::system, rows.reshape({-1})};
        }
    }
    fail("the model returned energies of shape ", shape_of(energies),
         "; expected a scalar, or one row per contributing particle ([", n_contributing,
         "]) or per particle ([", n, "]), with any further dimensions.");
}

}  // namespace torchml
