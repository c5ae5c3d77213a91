#pragma once

#include "descriptors/descriptor_kernels.hpp"

namespace torchml {

/// A product of two layers of the expansion, u_{j1} and u_{j2}, and the layers j that it is coupled
/// to: j_first, j_first + 2, ... Angular momenta are doubled, so that they are integers; a row or
/// column m of a layer is counted from 0.
struct Coupling {
    int j1 = 0;
    int j2 = 0;
    int j_first = 0;
    int n_j = 0;
    int slot = 0;  ///< the first of this coupling's n_j slots
    /// (j1 + j2 + 1) for each sum of m1 and m2, where its coefficients begin; `rows` sum over the
    /// first index and `columns` over the second. A sum's coefficients are those of m1 = its first
    /// m1 and so on, each with n_j coefficients.
    const int* row_starts = nullptr;
    const int* row_first = nullptr;
    const int* row_counts = nullptr;
    const int* column_starts = nullptr;
};

/// The tables of a bispectrum that the kernels read, owned by BispectrumArrays. Layer j of the
/// expansion has (j + 1)² numbers. `half` indexes those with column mb <= j / 2, which determine
/// the others; `full` indexes all. Both run over layers, columns and rows, rows fastest.
struct BispectrumTables {
    int twojmax = 0;
    int n_species = 0;
    int width = 0;
    double rfac0 = 0.0;
    double rmin0 = 0.0;
    bool switched = true;
    const double* cutoffs = nullptr;       ///< (n_species, n_species)
    const double* weights = nullptr;       ///< (n_species)
    const int* half_starts = nullptr;      ///< (twojmax + 2)
    const int* full_starts = nullptr;      ///< (twojmax + 2)
    const double* norms = nullptr;         ///< (half) from monomials to Wigner functions
    const double* coefficients = nullptr;  ///< Clebsch-Gordan coefficients of all couplings

    /// For values: couplings to the largest of the three layers only.
    const Coupling* value_couplings = nullptr;
    int n_value_couplings = 0;
    int n_value_slots = 0;
    const int* value_slots = nullptr;       ///< (width)
    const double* value_factors = nullptr;  ///< (width)
    const double* value_shifts = nullptr;   ///< (width)

    /// For vjp: all couplings, each with the columns whose weights it takes.
    const Coupling* couplings = nullptr;
    int n_couplings = 0;
    int n_slots = 0;
    const int* weight_starts = nullptr;      ///< (n_slots + 1)
    const int* weight_columns = nullptr;     ///< column of the descriptor
    const double* weight_factors = nullptr;  ///< times this
};

// Defined in the kernels' source.
template <>
const DescriptorKernels<BispectrumTables> KernelSets<BispectrumTables>::baseline;
template <>
const DescriptorKernels<BispectrumTables> KernelSets<BispectrumTables>::avx2;
template <>
const DescriptorKernels<BispectrumTables> KernelSets<BispectrumTables>::avx512;

}  // namespace torchml
