#pragma once

#include <cstddef>
#include <memory>

#include "descriptors/aligned_memory.hpp"
#include "descriptors/descriptor.hpp"
#include "descriptors/descriptor_kernels.hpp"
#include "descriptors/instruction_sets.hpp"

namespace torchml {

/// The kernels for the widest instruction set that may be used.
template <class Tables>
const DescriptorKernels<Tables>& choose_kernels() {
#if defined(TORCHML_X86_KERNELS)
    switch (instruction_set()) {
        case InstructionSet::avx512:
            return KernelSets<Tables>::avx512;
        case InstructionSet::avx2:
            return KernelSets<Tables>::avx2;
        case InstructionSet::baseline:
            break;
    }
#endif
    return KernelSets<Tables>::baseline;
}

/// A descriptor that kernels compute. `Arrays` owns what the kernels read. It is made from the
/// descriptor's settings and the number of the kernels' lanes, and has a type Tables and the
/// functions
///
///     const Tables& tables() const;                                 // for the kernels
///     double cutoff(int center_species, int neighbour_species) const;  // as Descriptor::cutoff
template <class Arrays>
class KernelDescriptor final : public Descriptor {
  public:
    template <class Settings>
    explicit KernelDescriptor(const Settings& settings)
        : kernels_(choose_kernels<typename Arrays::Tables>()), arrays_(settings, kernels_.lanes) {}

    int width() const override { return arrays_.tables().width; }

    double cutoff(int center_species, int neighbour_species) const override {
        return arrays_.cutoff(center_species, neighbour_species);
    }

    std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Memory>(); }

    void values(const Neighbourhoods& block, Scratch& scratch, double* values) const override {
        kernels_.values(arrays_.tables(), block, memory(block, scratch), values);
    }

    void vjp(const Neighbourhoods& block, const double* weights, Scratch& scratch, double* gx,
             double* gy, double* gz) const override {
        kernels_.vjp(arrays_.tables(), block, weights, memory(block, scratch), gx, gy, gz);
    }

  private:
    struct Memory final : Scratch {
        AlignedMemory doubles;
    };

    double* memory(const Neighbourhoods& block, Scratch& scratch) const {
        const long size = kernels_.scratch_size(arrays_.tables(), block);
        return static_cast<Memory&>(scratch).doubles.at_least(static_cast<std::size_t>(size));
    }

    const DescriptorKernels<typename Arrays::Tables>& kernels_;
    Arrays arrays_;
};

}  // namespace torchml
