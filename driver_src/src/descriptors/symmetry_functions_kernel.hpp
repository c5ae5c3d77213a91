#pragma once

#include "descriptors/descriptor_kernels.hpp"

namespace torchml {

/// Triplet functions of one kind (g4 or g5),
///     2^(1 - zeta) (1 + lambda cos)^zeta exp(-eta S) F,
/// sorted so that what they share is computed once. S and F, sums of squared distances and products
/// of cutoff functions, are the kind's; an angle is a (1 + lambda cos)^zeta; a term is a function.
struct TripletTables {
    int n_lambdas = 0;
    const double* lambdas = nullptr;
    const int* n_squares = nullptr;     ///< (n_lambdas) how often its angles need (...) squared
    const int* angle_starts = nullptr;  ///< (n_lambdas + 1)
    int n_angles = 0;
    const double* zetas = nullptr;  ///< (n_angles)
    const int* powers = nullptr;    ///< (n_angles) zeta - 1, or -1 if that is no whole number

    int n_etas = 0;
    const double* etas = nullptr;
    const int* term_starts = nullptr;  ///< (n_etas + 1)
    int n_terms = 0;
    const int* term_angles = nullptr;      ///< (n_terms)
    const int* term_columns = nullptr;     ///< (n_terms) of the descriptor
    const double* term_factors = nullptr;  ///< (n_terms) 2^(1 - zeta)
};

/// The tables of a set of symmetry functions that the kernels read, owned by
/// SymmetryFunctionArrays.
struct SymmetryTables {
    int width = 0;
    int n_species = 0;
    const double* cutoffs = nullptr;  ///< (n_species, n_species) Å

    int n_g1 = 0;
    const int* g1_columns = nullptr;
    int n_g2 = 0;
    const double* g2_etas = nullptr;
    const double* g2_shifts = nullptr;
    const int* g2_columns = nullptr;
    int n_g3 = 0;
    const double* g3_kappas = nullptr;
    const int* g3_columns = nullptr;

    TripletTables g4;
    TripletTables g5;
};

// Defined in the kernels' source.
template <>
const DescriptorKernels<SymmetryTables> KernelSets<SymmetryTables>::baseline;
template <>
const DescriptorKernels<SymmetryTables> KernelSets<SymmetryTables>::avx2;
template <>
const DescriptorKernels<SymmetryTables> KernelSets<SymmetryTables>::avx512;

}  // namespace torchml
