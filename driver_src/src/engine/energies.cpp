#include "engine/energies.hpp"

#include <ATen/ops/sum.h>

#include <vector>

#include "base/error.hpp"

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
        // Some models return a batch of one; but a single row may be a single particle's.
        const auto is_count = [&](std::int64_t size) {
            return size == n || size == n_contributing;
        };
        while (rows.dim() > 1 && rows.size(0) == 1 && !is_count(1)) rows = rows.squeeze(0);
        if (rows.dim() > 0 && is_count(rows.size(0))) {
            if (rows.numel() != rows.size(0)) rows = rows.flatten(1).sum(1);
            // If all particles contribute, both readings are the same.
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
         "]) or per particle ([", n,
         "]), with any further dimensions. Change what forward returns.");
}

ForceRows read_forces_of(const at::Tensor& forces, std::int64_t n, std::int64_t n_contributing,
                         std::int64_t n_system) {
    std::vector<std::int64_t> sizes;  // without those of one
    for (const std::int64_t size : forces.sizes()) {
        if (size != 1) sizes.push_back(size);
    }
    using Sizes = std::vector<std::int64_t>;
    const auto is_of = [&](std::int64_t count) {
        return sizes == Sizes{3 * count} || sizes == Sizes{count, 3};
    };
    if (is_of(n)) return {forces.reshape({n, 3}).contiguous(), true};
    if (is_of(n_contributing)) {
        if (n_contributing == n_system) {
            return {forces.reshape({n_system, 3}).contiguous(), false};
        }
        fail("the model returned forces of shape ", shape_of(forces), ", for the ", n_contributing,
             " contributing particles only, but there are also ", n_system - n_contributing,
             " ghosts (periodic images, or other ranks' particles), and the forces on ghosts are "
             "part of the forces on their owners. Make the model return a row for each of the ",
             n, " particles that it gets, [", n, ", 3]; or, if its energy can be differentiated, ",
             "set 'returns forces' to False.");
    }
    fail("the model returned forces of shape ", shape_of(forces), "; expected [", n,
         ", 3], one row per particle, ghosts included, or the same numbers in the same order, [",
         3 * n, "].", sizes == Sizes{3, n} ? " This is the transpose: return forces.t()." : "");
}

at::Tensor read_edge_gradient(const at::Tensor& gradient, std::int64_t n_edges) {
    if (gradient.dim() == 2 && gradient.size(0) == n_edges && gradient.size(1) == 3) {
        return gradient.contiguous();
    }
    fail("the model returned an edge gradient of shape ", shape_of(gradient), "; expected [",
         n_edges, ", 3], the energy's derivative with respect to each of the edge_vectors. Change ",
         "what forward returns; or, if it returns forces on nodes, set returns_edge_gradient to ",
         "False in the parameter file.");
}

}  // namespace torchml
