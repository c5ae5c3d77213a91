// The arithmetic of SOAP, compiled once for each instruction set (see simd.hpp).
//
// Solid harmonics and gradients are computed for as many neighbours at once as a vector has lanes,
// coefficients for as many radial functions. The gradients are products with the adjoint of the
// coefficients: derivatives of single coefficients are never stored.

#include "descriptors/soap_kernel.hpp"

#include "descriptors/kernel_tools.hpp"
#include "descriptors/neighbourhoods.hpp"
#include "descriptors/simd.hpp"

namespace torchml {
namespace {

struct Sizes {
    int n_lm;      // (l_max + 1)²
    int n_half;    // pairs l, m >= 0
    int n_padded;  // radial functions of one l, in whole vectors
};

Sizes sizes_of(const SoapTables& tables) {
    const int l = tables.l_max + 1;
    return {l * l, l * (l + 1) / 2, (tables.n_max + lanes - 1) / lanes * lanes};
}

/// The memory in which one particle is computed.
struct Workspace {
    double* coefficients;   // (species, lm, n_padded)
    double* adjoint;        // (species, lm, n_padded)
    double* matrix;         // (n_max, n_padded) weights of a pair of species and an l
    double* transposed;     // (n_max, n_padded)
    double* radial;         // (lanes, radial) F of a vector of neighbours
    double* radial_slopes;  // (lanes, radial)
    Vec* radial_lanes;      // (radial) the same, neighbours in lanes
    Vec* radial_slope_lanes;
    Vec* legendre;   // (half)
    Vec* cosines;    // (l_max + 1) Re (x + iy)^m
    Vec* sines;      // (l_max + 1) Im
    Vec* harmonics;  // (lm)
    Vec* sums;       // (lm) adjoint times F
    int* order;      // (neighbours) of a particle, by species
};

Workspace lay_out(const SoapTables& tables, const Neighbourhoods& block, double* scratch,
                  long* size) {
    const Sizes sizes = sizes_of(tables);
    const int most = most_neighbours(block);
    const long per_species = static_cast<long>(sizes.n_lm) * sizes.n_padded;
    const long row = tables.n_radial + lanes;
    ScratchCursor cursor{scratch, 0};
    Workspace work;
    work.coefficients = cursor.take<double>(per_species * tables.n_species);
    work.adjoint = cursor.take<double>(per_species * tables.n_species);
    work.matrix = cursor.take<double>(static_cast<long>(tables.n_max) * sizes.n_padded);
    work.transposed = cursor.take<double>(static_cast<long>(tables.n_max) * sizes.n_padded);
    work.radial = cursor.take<double>(row * lanes);
    work.radial_slopes = cursor.take<double>(row * lanes);
    work.radial_lanes = cursor.take<Vec>(tables.n_radial);
    work.radial_slope_lanes = cursor.take<Vec>(tables.n_radial);
    work.legendre = cursor.take<Vec>(sizes.n_half);
    work.cosines = cursor.take<Vec>(tables.l_max + 1);
    work.sines = cursor.take<Vec>(tables.l_max + 1);
    work.harmonics = cursor.take<Vec>(sizes.n_lm);
    work.sums = cursor.take<Vec>(sizes.n_lm);
    work.order = cursor.take<int>(most + lanes);
    *size = cursor.used;
    return work;
}

long scratch_size(const SoapTables& tables, const Neighbourhoods& block) {
    long size = 0;
    lay_out(tables, block, nullptr, &size);
    return size;
}

/// F(n, l; r) of one neighbour, and its derivative with respect to r.
template <bool with_slopes>
TORCHML_INLINE void radial_functions(const SoapTables& tables, double r, double* values,
                                     double* slopes) {
    const double intervals_per_length = tables.n_intervals / tables.cutoff;
    const double position = r * intervals_per_length;
    int interval = static_cast<int>(position);
    if (interval > tables.n_intervals - 1) interval = tables.n_intervals - 1;
    const double s = 2.0 * (position - interval) - 1.0;
    const double* table =
        tables.radial + static_cast<long>(interval) * (tables.degree + 1) * tables.n_radial;
    for (int k = 0; k < tables.n_radial; k += lanes) {
        const double* row = table + static_cast<long>(tables.degree) * tables.n_radial + k;
        Vec value = load(row);
        Vec slope{};
        for (int power = tables.degree; power > 0; --power) {
            row -= tables.n_radial;
            if (with_slopes) slope = slope * s + value;
            value = value * s + load(row);
        }
        store(values + k, value);
        if (with_slopes) store(slopes + k, slope * (2.0 * intervals_per_length));
    }
}

/// Solid harmonics of positions x, y, z in units of the cutoff.
TORCHML_INLINE void solid_harmonics(const SoapTables& tables, Vec x, Vec y, Vec z,
                                    const Workspace& work) {
    const Vec r2 = x * x + y * y + z * z;
    Vec c = broadcast(1.0);
    Vec s{};
    for (int m = 0; m <= tables.l_max; ++m) {
        work.cosines[m] = c;
        work.sines[m] = s;
        const Vec next = c * x - s * y;
        s = s * x + c * y;
        c = next;
    }
    for (int l = 0, at = 0; l <= tables.l_max; ++l) {
        for (int m = 0; m <= l; ++m, ++at) {
            Vec p = broadcast(tables.up[at]);
            if (m < l) {
                p = p * z * work.legendre[at - l];
                if (m < l - 1) p -= tables.down[at] * r2 * work.legendre[at - 2 * l + 1];
            }
            work.legendre[at] = p;
            Vec* center = work.harmonics + l * l + l;
            center[m] = p * work.cosines[m];
            if (m > 0) center[-m] = p * work.sines[m];
        }
    }
}

/// The coefficients of particle i.
void expand(const SoapTables& tables, const Neighbourhoods& block, int i, const Workspace& work) {
    const Sizes sizes = sizes_of(tables);
    const long per_species = static_cast<long>(sizes.n_lm) * sizes.n_padded;
    for (long k = 0; k < per_species * tables.n_species; k += lanes) {
        store(work.coefficients + k, Vec{});
    }
    const double scale = 1.0 / tables.cutoff;
    const int end = block.starts[i + 1];
    for (int first = block.starts[i]; first < end; first += lanes) {
        const int some = end - first;
        solid_harmonics(tables, load_some(block.x + first, some, 0.0) * scale,
                        load_some(block.y + first, some, 0.0) * scale,
                        load_some(block.z + first, some, 0.0) * scale, work);
        for (int lane = 0; lane < lanes && lane < some; ++lane) {
            radial_functions<false>(tables, block.r[first + lane], work.radial, nullptr);
            const double* harmonic = reinterpret_cast<const double*>(work.harmonics) + lane;
            double* to = work.coefficients + per_species * block.neighbour_species[first + lane];
            for (int l = 0; l <= tables.l_max; ++l) {
                for (int n = 0; n < sizes.n_padded; n += lanes) {
                    const Vec f = load(work.radial + l * tables.n_max + n);
                    for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm) {
                        double* c = to + static_cast<long>(lm) * sizes.n_padded + n;
                        store(c, load(c) + f * harmonic[lm * lanes]);
                    }
                }
            }
        }
    }
    // In libdescriptor, the density of a species includes those of the species before it.
    for (long k = per_species; k < per_species * tables.n_species; k += lanes) {
        double* c = work.coefficients + k;
        store(c, load(c) + load(c - per_species));
    }
    // Lanes past a row's end hold the next l's radial functions.
    for (long row = 0; row < static_cast<long>(sizes.n_lm) * tables.n_species; ++row) {
        for (int n = tables.n_max; n < sizes.n_padded; ++n) {
            work.coefficients[row * sizes.n_padded + n] = 0.0;
        }
    }
}

void values(const SoapTables& tables, const Neighbourhoods& block, double* scratch,
            double* values) {
    long size = 0;
    const Workspace work = lay_out(tables, block, scratch, &size);
    const Sizes sizes = sizes_of(tables);
    const long per_species = static_cast<long>(sizes.n_lm) * sizes.n_padded;
    const int n_l = tables.l_max + 1;
    for (int i = 0; i < block.n; ++i) {
        expand(tables, block, i, work);
        double* to = values + static_cast<long>(i) * tables.width;
        for (int z1 = 0; z1 < tables.n_species; ++z1) {
            for (int z2 = z1; z2 < tables.n_species; ++z2) {
                const double* c1 = work.coefficients + z1 * per_species;
                const double* c2 = work.coefficients + z2 * per_species;
                for (int n1 = 0; n1 < tables.n_max; ++n1) {
                    for (int start = n1 / lanes * lanes; start < tables.n_max; start += lanes) {
                        for (int l = 0; l < n_l; ++l) {
                            Vec sum{};
                            for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm) {
                                const long row = static_cast<long>(lm) * sizes.n_padded;
                                sum += c1[row + n1] * load(c2 + row + start);
                            }
                            sum *= tables.factors[l];
                            for (int lane = 0; lane < lanes; ++lane) {
                                const int n2 = start + lane;
                                if (n2 < n1 || n2 >= tables.n_max) continue;
                                to[(n2 - n1) * n_l + l] = sum[lane];
                            }
                        }
                    }
                    to += (tables.n_max - n1) * n_l;
                }
            }
        }
    }
}

/// The derivatives of the weighted power spectrum with respect to the coefficients.
void differentiate_spectrum(const SoapTables& tables, const double* weights,
                            const Workspace& work) {
    const Sizes sizes = sizes_of(tables);
    const long per_species = static_cast<long>(sizes.n_lm) * sizes.n_padded;
    const int n_l = tables.l_max + 1;
    for (long k = 0; k < per_species * tables.n_species; k += lanes) {
        store(work.adjoint + k, Vec{});
    }
    for (int k = 0; k < tables.n_max * sizes.n_padded; ++k) {
        work.matrix[k] = 0.0;
        work.transposed[k] = 0.0;
    }
    for (int z1 = 0; z1 < tables.n_species; ++z1) {
        for (int z2 = z1; z2 < tables.n_species; ++z2) {
            const double* c1 = work.coefficients + z1 * per_species;
            const double* c2 = work.coefficients + z2 * per_species;
            double* a1 = work.adjoint + z1 * per_species;
            double* a2 = work.adjoint + z2 * per_species;
            for (int l = 0; l < n_l; ++l) {
                const double* from = weights + l;
                for (int n1 = 0; n1 < tables.n_max; ++n1) {
                    for (int n2 = n1; n2 < tables.n_max; ++n2) {
                        const double w = tables.factors[l] * *from;
                        work.matrix[n1 * sizes.n_padded + n2] = w;
                        work.transposed[n2 * sizes.n_padded + n1] = w;
                        from += n_l;
                    }
                }
                for (int start = 0; start < sizes.n_padded; start += lanes) {
                    for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm) {
                        const long row = static_cast<long>(lm) * sizes.n_padded;
                        Vec by_first{};
                        Vec by_second{};
                        for (int n = 0; n < tables.n_max; ++n) {
                            by_first +=
                                c2[row + n] * load(work.transposed + n * sizes.n_padded + start);
                            by_second +=
                                c1[row + n] * load(work.matrix + n * sizes.n_padded + start);
                        }
                        store(a1 + row + start, load(a1 + row + start) + by_first);
                        store(a2 + row + start, load(a2 + row + start) + by_second);
                    }
                }
            }
            weights += tables.n_max * (tables.n_max + 1) / 2 * n_l;
        }
    }
    for (long k = per_species * (tables.n_species - 1) - lanes; k >= 0; k -= lanes) {
        double* a = work.adjoint + k;
        store(a, load(a) + load(a + per_species));
    }
}

struct Gradient {
    Vec x, y, z;
};

/// For a vector of neighbours of one species: the derivatives with respect to their positions.
TORCHML_INLINE Gradient contract(const SoapTables& tables, const Sizes& sizes,
                                 const double* adjoint, Vec x, Vec y, Vec z, Vec r,
                                 const Workspace& work) {
    const int row = tables.n_radial + lanes;
    for (int lane = 0; lane < lanes; ++lane) {
        radial_functions<true>(tables, r[lane], work.radial + lane * row,
                               work.radial_slopes + lane * row);
    }
    for (int k = 0; k < (tables.l_max + 1) * tables.n_max; ++k) {
        Vec value, slope;
        for (int lane = 0; lane < lanes; ++lane) {
            value[lane] = work.radial[lane * row + k];
            slope[lane] = work.radial_slopes[lane * row + k];
        }
        work.radial_lanes[k] = value;
        work.radial_slope_lanes[k] = slope;
    }
    const double scale = 1.0 / tables.cutoff;
    x *= scale;
    y *= scale;
    z *= scale;
    solid_harmonics(tables, x, y, z, work);

    Vec radial{};
    for (int l = 0; l <= tables.l_max; ++l) {
        const Vec* values = work.radial_lanes + l * tables.n_max;
        const Vec* slopes = work.radial_slope_lanes + l * tables.n_max;
        for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm) {
            const double* a = adjoint + static_cast<long>(lm) * sizes.n_padded;
            Vec sum{};
            Vec slope_sum{};
            for (int n = 0; n < tables.n_max; ++n) {
                sum += a[n] * values[n];
                slope_sum += a[n] * slopes[n];
            }
            work.sums[lm] = sum;
            radial += slope_sum * work.harmonics[lm];
        }
    }

    // Through P(l, m), which depends on z and r².
    Vec by_z{};
    Vec by_r2{};
    for (int l = 1, at = 1; l <= tables.l_max; ++l) {
        const Vec* center = work.sums + l * l + l;
        for (int m = 0; m <= l; ++m, ++at) {
            if (m == l) continue;
            Vec weight = center[m] * work.cosines[m];
            if (m > 0) weight += center[-m] * work.sines[m];
            by_z += tables.along[at] * weight * work.legendre[at - l];
            if (m < l - 1) by_r2 -= tables.across[at] * weight * work.legendre[at - l + 1];
        }
    }
    // Through (x + iy)^m.
    Vec by_x{};
    Vec by_y{};
    for (int m = 1; m <= tables.l_max; ++m) {
        Vec by_cosine{};
        Vec by_sine{};
        for (int l = m; l <= tables.l_max; ++l) {
            const Vec p = work.legendre[l * (l + 1) / 2 + m];
            by_cosine += p * work.sums[l * l + l + m];
            by_sine += p * work.sums[l * l + l - m];
        }
        const double factor = m;
        by_x += factor * (by_cosine * work.cosines[m - 1] + by_sine * work.sines[m - 1]);
        by_y += factor * (by_sine * work.cosines[m - 1] - by_cosine * work.sines[m - 1]);
    }
    // x / r from x in units of the cutoff; nothing depends on the direction where r = 0.
    const Vec outward = radial * select(r > 0.0, tables.cutoff / r, Vec{});
    return {outward * x + (by_x + by_r2 * x) * scale, outward * y + (by_y + by_r2 * y) * scale,
            outward * z + by_z * scale};
}

void vjp(const SoapTables& tables, const Neighbourhoods& block, const double* weights,
         double* scratch, double* gx, double* gy, double* gz) {
    long size = 0;
    const Workspace work = lay_out(tables, block, scratch, &size);
    const Sizes sizes = sizes_of(tables);
    const long per_species = static_cast<long>(sizes.n_lm) * sizes.n_padded;
    for (int i = 0; i < block.n; ++i) {
        const int begin = block.starts[i];
        const int end = block.starts[i + 1];
        if (begin == end) continue;
        expand(tables, block, i, work);
        differentiate_spectrum(tables, weights + static_cast<long>(i) * tables.width, work);
        for (int species = 0; species < tables.n_species; ++species) {
            int count = 0;
            for (int k = begin; k < end; ++k) {
                work.order[count] = k;
                count += block.neighbour_species[k] == species;
            }
            for (int first = 0; first < count; first += lanes) {
                Vec x{}, y{}, z{}, r{};
                for (int lane = 0; lane < lanes && first + lane < count; ++lane) {
                    const int k = work.order[first + lane];
                    x[lane] = block.x[k];
                    y[lane] = block.y[k];
                    z[lane] = block.z[k];
                    r[lane] = block.r[k];
                }
                const Gradient g =
                    contract(tables, sizes, work.adjoint + species * per_species, x, y, z, r, work);
                for (int lane = 0; lane < lanes && first + lane < count; ++lane) {
                    const int k = work.order[first + lane];
                    gx[k] = g.x[lane];
                    gy[k] = g.y[lane];
                    gz[k] = g.z[lane];
                }
            }
        }
    }
}

}  // namespace

template <>
const DescriptorKernels<SoapTables> KernelSets<SoapTables>::TORCHML_KERNEL_SET = {
    lanes, scratch_size, values, vjp};

}  // namespace torchml
