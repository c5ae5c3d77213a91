#include "engine/descriptor_calculator.hpp"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <numeric>

#include "base/error.hpp"
#include "descriptors/load.hpp"
#include "inputs/descriptor_inputs.hpp"
#include "process/forking.hpp"
#include "process/host_state.hpp"
#include "process/threads.hpp"

namespace torchml {

struct DescriptorCalculator::Implementation {
    std::string kind;
    int width = 0;
    int n_elements = 0;
    double cutoff = 0.0;
    std::unique_ptr<Inputs> inputs;
    std::vector<double> virials;  // (n, 6)

    void prepare(const System& system) const {
        require_not_forked_after_use();
        note_use();
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (system.species[i] < 0 || system.species[i] >= n_elements) {
                fail("particle ", i, " has the species code ", system.species[i],
                     "; codes must be from 0 to ", n_elements - 1, ", one for each element.");
            }
        }
        inputs->prepare(system);
    }
};

DescriptorCalculator::DescriptorCalculator(const std::filesystem::path& file,
                                           const std::vector<std::string>& elements)
    : implementation_(std::make_unique<Implementation>()) {
    if (elements.empty()) fail("elements is empty; a descriptor needs at least one.");
    HostState host;
    look_for_torch_of_host();
    host.use_threads(process_threads().count);
    LoadedDescriptor loaded = load_descriptor(file, elements);
    Implementation& self = *implementation_;
    self.kind = loaded.kind;
    self.width = loaded.descriptor->width();
    self.n_elements = static_cast<int>(elements.size());
    for (int a = 0; a < self.n_elements; ++a) {
        for (int b = 0; b < self.n_elements; ++b) {
            self.cutoff = std::max(self.cutoff, loaded.descriptor->cutoff(a, b));
        }
    }
    std::vector<int> codes(elements.size());
    std::iota(codes.begin(), codes.end(), 0);
    self.inputs =
        make_descriptor_inputs(std::move(loaded.descriptor), self.cutoff, codes, at::kDouble);
}

DescriptorCalculator::~DescriptorCalculator() = default;
DescriptorCalculator::DescriptorCalculator(DescriptorCalculator&&) noexcept = default;

const std::string& DescriptorCalculator::kind() const { return implementation_->kind; }
int DescriptorCalculator::width() const { return implementation_->width; }
double DescriptorCalculator::cutoff() const { return implementation_->cutoff; }

void DescriptorCalculator::values(const System& system, double* values) {
    HostState host;
    host.use_threads(process_threads().count);
    implementation_->prepare(system);
    implementation_->inputs->complete();
    const at::Tensor computed = implementation_->inputs->tensors()[0];
    std::copy_n(computed.data_ptr<double>(), computed.numel(), values);
}

void DescriptorCalculator::vjp(const System& system, const double* weights, double* gradient,
                               double* virial) {
    HostState host;
    host.use_threads(process_threads().count);
    Implementation& self = *implementation_;
    self.prepare(system);
    const at::Tensor factors = at::from_blob(const_cast<double*>(weights),  // no read-only tensors
                                             {self.inputs->n_particles(), self.width}, at::kDouble);
    if (gradient != nullptr) {
        self.inputs->forces_from(factors, gradient);
        for (std::int64_t k = 0; k < 3 * system.n; ++k) gradient[k] = -gradient[k];
    }
    if (virial != nullptr) {
        self.virials.assign(6 * static_cast<std::size_t>(system.n), 0.0);
        self.inputs->particle_virials_from(factors, self.virials.data());
        std::fill_n(virial, 6, 0.0);
        for (std::size_t k = 0; k < self.virials.size(); ++k) virial[k % 6] += self.virials[k];
    }
}

}  // namespace torchml
