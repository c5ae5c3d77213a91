#pragma once

#include "descriptors/descriptor_kernels.hpp"

namespace torchml {

/// The tables of a SOAP descriptor that the kernels read, owned by SoapArrays. The density's
/// coefficients c(n, l, m) are sums over neighbours of radial functions F(n, l; r) times regular
/// solid harmonics of the position in units of the cutoff.
struct SoapTables {
    int n_max = 0;
    int l_max = 0;
    int n_species = 0;
    int width = 0;
    double cutoff = 0.0;  ///< Å

    /// F(n, l) as polynomials in s = -1 ... 1, one for each of equal intervals from 0 to the
    /// cutoff: (n_intervals, degree + 1, n_radial), lowest powers first; n_radial is at least
    /// (l_max + 1) n_max, in this order, and a multiple of the lanes.
    int n_intervals = 0;
    int degree = 0;
    int n_radial = 0;
    const double* radial = nullptr;

    /// Of l and m = 0 ... l, at l (l + 1) / 2 + m, for normalised solid harmonics P(l, m) times
    /// Re, Im (x + iy)^m:
    const double* up = nullptr;       ///< P(l, m) = up z P(l - 1, m) - down r² P(l - 2, m)
    const double* down = nullptr;     ///< ; `up` of m = l is P(l, l) itself
    const double* along = nullptr;    ///< dP(l, m)/dz = along P(l - 1, m)
    const double* across = nullptr;   ///< dP(l, m)/dx = -across x P(l - 1, m + 1), likewise for y
    const double* factors = nullptr;  ///< (l_max + 1) of the power spectrum
};

// Defined in the kernels' source.
template <>
const DescriptorKernels<SoapTables> KernelSets<SoapTables>::baseline;
template <>
const DescriptorKernels<SoapTables> KernelSets<SoapTables>::avx2;
template <>
const DescriptorKernels<SoapTables> KernelSets<SoapTables>::avx512;

}  // namespace torchml
