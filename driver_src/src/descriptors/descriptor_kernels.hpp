#pragma once

// Included by kernels, so nothing of the standard library (see simd.hpp).

namespace torchml {

struct Neighbourhoods;

/// A descriptor's kernels as compiled for one instruction set. `Tables`: what they read of the
/// descriptor, apart from the block of particles.
template <class Tables>
struct DescriptorKernels {
    int lanes;  ///< doubles in a vector
    /// How many doubles of scratch memory, at the boundary of a cache line, a block needs.
    long (*scratch_size)(const Tables& tables, const Neighbourhoods& block);
    /// As Descriptor::values.
    void (*values)(const Tables& tables, const Neighbourhoods& block, double* scratch,
                   double* values);
    /// As Descriptor::vjp.
    void (*vjp)(const Tables& tables, const Neighbourhoods& block, const double* weights,
                double* scratch, double* gx, double* gy, double* gz);
};

/// A descriptor's kernels for each instruction set. The sources of kernels, compiled once for each,
/// define the member that TORCHML_KERNEL_SET names.
template <class Tables>
struct KernelSets {
    static const DescriptorKernels<Tables> baseline;
    static const DescriptorKernels<Tables> avx2;    ///< x86 only
    static const DescriptorKernels<Tables> avx512;  ///< x86 only
};

}  // namespace torchml
