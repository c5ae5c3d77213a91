#pragma once

// Included by kernels, so nothing of the standard library (see simd.hpp).

namespace torchml {

struct Neighbourhoods;

/// A descriptor's kernels, compiled for one instruction set. `Tables`: the data that they read
/// besides the block of particles.
template <class Tables>
struct DescriptorKernels {
    int lanes;  ///< doubles in a vector
    /// The scratch memory that a block needs, in doubles; aligned to a cache line.
    long (*scratch_size)(const Tables& tables, const Neighbourhoods& block);
    /// As Descriptor::values.
    void (*values)(const Tables& tables, const Neighbourhoods& block, double* scratch,
                   double* values);
    /// As Descriptor::vjp.
    void (*vjp)(const Tables& tables, const Neighbourhoods& block, const double* weights,
                double* scratch, double* gx, double* gy, double* gz);
};

/// A descriptor's kernels for each instruction set. Kernel sources are compiled once for each set
/// and define the member that TORCHML_KERNEL_SET names.
template <class Tables>
struct KernelSets {
    static const DescriptorKernels<Tables> baseline;
    static const DescriptorKernels<Tables> avx2;    ///< x86 only
    static const DescriptorKernels<Tables> avx512;  ///< x86 only
};

}  // namespace torchml
