#pragma once

namespace torchml {

struct Neighbourhoods;

/// What the kernels read of a SOAP descriptor; the arrays belong to others. The density's
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

/// One set of kernels for each instruction set.
struct SoapKernels {
    int lanes;
    /// How many doubles of scratch a block of any size wants, if its particles have at most so many
    /// neighbours.
    long (*scratch_size)(const SoapTables& tables, const Neighbourhoods& block);
    void (*values)(const SoapTables& tables, const Neighbourhoods& block, double* scratch,
                   double* values);
    void (*vjp)(const SoapTables& tables, const Neighbourhoods& block, const double* weights,
                double* scratch, double* gx, double* gy, double* gz);
};

extern const SoapKernels soap_kernels_baseline;
extern const SoapKernels soap_kernels_avx2;
extern const SoapKernels soap_kernels_avx512;

}  // namespace torchml
