// The arithmetic of the bispectrum, compiled once for each instruction set (see simd.hpp).
//
// The expansion of a particle's neighbourhood, its couplings and the adjoint of the expansion are
// computed for as many particles at once as a vector has lanes; the gradients, for as many
// neighbours of one particle.
//
// Layer j of a neighbour's expansion consists of the coefficients v(ma, mb) of t^ma in
//     (a* - b* t)^(j - mb) (b + a t)^mb,
// where a, b are its Cayley-Klein parameters: Wigner functions up to a factor, `norms`. Without
// the factor, a layer follows from the one before it with two complex multiplications per number
// and no square roots:
//     v_j(ma, mb) = a* v_{j-1}(ma, mb) - b* v_{j-1}(ma - 1, mb),
// and its derivatives with respect to a, a*, b, b* are numbers of the layer before it. The
// derivative of the energy is then the product of that layer and weights that are the same for all
// neighbours of a particle, so no derivative of the expansion is ever computed.

#include "descriptors/bispectrum_kernel.hpp"

#include "descriptors/kernel_tools.hpp"
#include "descriptors/neighbourhoods.hpp"
#include "descriptors/simd.hpp"

namespace torchml {
namespace {

/// The most layers that a product is coupled to at once: their sums stay in registers.
constexpr int max_targets = 5;

TORCHML_INLINE int magnitude(int a) { return a < 0 ? -a : a; }

/// Functions of each pair's distance and direction, by component. Padded by a vector.
struct Pairs {
    double *a_re, *a_im, *b_re, *b_im;  // Cayley-Klein parameters
    double* scale;                      // weight times switching function
    double* scale_slope;                // its derivative with respect to the distance
    double* cos_slope;                  // that of sin(theta)
    double* sin_slope;                  // minus that of cos(theta)
    double* sin_over_r;
};
constexpr int n_pair_fields = 9;

/// The memory in which a group of particles is computed.
struct Workspace {
    Pairs pairs;
    Vec* layers;      // two layers of one vector of neighbours
    Vec* sums;        // (half, 2) the expansion, summed over neighbours
    Vec* full;        // (full, 2) the expansion, complete and normalised
    Vec* adjoint;     // (half, 2) derivative of the energy with respect to it
    Vec* slopes;      // (4, half without the last layer, 2)
    Vec* slots;       // (slots)
    double* weights;  // (half, 10) of one particle
};

int largest_group(const Neighbourhoods& block) {
    int largest = 0;
    for (int first = 0; first < block.n; first += lanes) {
        const int last = first + lanes < block.n ? first + lanes : block.n;
        largest = larger(largest, block.starts[last] - block.starts[first]);
    }
    return largest;
}

Workspace lay_out(const BispectrumTables& tables, int n_pairs, double* scratch, long* size) {
    ScratchCursor cursor{scratch, 0};
    Workspace work;
    double** fields[n_pair_fields] = {
        &work.pairs.a_re,      &work.pairs.a_im,      &work.pairs.b_re,
        &work.pairs.b_im,      &work.pairs.scale,     &work.pairs.scale_slope,
        &work.pairs.cos_slope, &work.pairs.sin_slope, &work.pairs.sin_over_r,
    };
    for (double** field : fields) *field = cursor.take<double>(n_pairs + lanes);
    const int j = tables.twojmax;
    const int half = tables.half_starts[j + 1];
    work.layers = cursor.take<Vec>(3L * 2 * (j + 1) * (j / 2 + 2));
    work.sums = cursor.take<Vec>(2L * half);
    work.full = cursor.take<Vec>(2L * tables.full_starts[j + 1]);
    work.adjoint = cursor.take<Vec>(2L * half);
    work.slopes = cursor.take<Vec>(8L * (tables.half_starts[j] + 1));
    work.slots = cursor.take<Vec>(larger(tables.n_slots, tables.n_value_slots) + 1);
    work.weights = cursor.take<double>(10L * half);
    *size = cursor.used;
    return work;
}

long scratch_size(const BispectrumTables& tables, const Neighbourhoods& block) {
    long size = 0;
    lay_out(tables, largest_group(block), nullptr, &size);
    return size;
}

/// Fills `pairs` for the pairs of particles first to last.
template <bool with_slopes>
void prepare_pairs(const BispectrumTables& tables, const Neighbourhoods& block, int first, int last,
                   const Pairs& pairs) {
    const int begin = block.starts[first];
    const int count = block.starts[last] - begin;
    // These first hold what depends on the species.
    double* reach = pairs.a_re;
    double* weight = pairs.scale;
    for (int i = first; i < last; ++i) {
        const double* cutoffs = tables.cutoffs + block.species[i] * tables.n_species;
        for (int k = block.starts[i]; k < block.starts[i + 1]; ++k) {
            const int species = block.neighbour_species[k];
            reach[k - begin] = cutoffs[species] - tables.rmin0;
            weight[k - begin] = tables.weights[species];
        }
    }
    for (int k = 0; k < count; k += lanes) {
        const int some = count - k;
        const Vec x = load_some(block.x + begin + k, some, 0.0);
        const Vec y = load_some(block.y + begin + k, some, 0.0);
        const Vec z = load_some(block.z + begin + k, some, 1.0);
        const Vec r = load_some(block.r + begin + k, some, 1.0);
        const Vec reach_of_pair = load_some(reach + k, some, 1.0);
        const Vec phase = pi / reach_of_pair;
        const Vec w = load_some(weight + k, some, 0.0);
        const Vec beyond = r - tables.rmin0;

        const SinCos angle = sincos(beyond * phase * tables.rfac0);
        // The parameters are defined through tan(theta), so a negative sine flips all signs.
        const IntVec negative = angle.sin < 0.0;
        const Vec sin = select(negative, -angle.sin, angle.sin);
        const Vec cos = select(negative, -angle.cos, angle.cos);
        const Vec over_r = 1.0 / r;
        const Vec sin_over_r = sin * over_r;
        store(pairs.a_re + k, cos);
        store(pairs.a_im + k, -sin_over_r * z);
        store(pairs.b_re + k, sin_over_r * y);
        store(pairs.b_im + k, -sin_over_r * x);

        Vec value = broadcast(1.0);
        Vec slope = broadcast(0.0);
        if (tables.switched) {
            const SinCos fade = sincos(beyond * phase);
            const IntVec inside = beyond <= 0.0;
            value = select(inside, value, 0.5 * fade.cos + 0.5);
            slope = select(inside, slope, -0.5 * phase * fade.sin);
        }
        // A neighbour at the cutoff itself does not count.
        value = select(beyond < reach_of_pair, value, broadcast(0.0));
        store(pairs.scale + k, value * w);
        if (with_slopes) {
            const Vec theta_slope = phase * tables.rfac0;
            store(pairs.scale_slope + k, slope * w);
            store(pairs.cos_slope + k, cos * theta_slope);
            store(pairs.sin_slope + k, sin * theta_slope);
            store(pairs.sin_over_r + k, sin_over_r);
        }
    }
}

/// One number of the next layer, from its neighbours in the layer before, `left` of row ma - 1 and
/// `here` of row ma.
struct Parameters {
    Vec a_re, a_im, b_re, b_im;
};

/// The column mb of the layer before j. If it lies beyond that layer's stored half (j = 2 mb),
/// symmetry gives it, into `spare`.
TORCHML_INLINE const Vec* source_column(int j, int mb, const Vec* before, Vec* spare) {
    if (2 * mb < j) return before + 2 * mb * j;
    const Vec* mirror = before + 2 * (mb - 1) * j;
    for (int ma = 0; ma < j; ++ma) {
        const Vec re = mirror[2 * (j - 1 - ma)];
        const Vec im = mirror[2 * (j - 1 - ma) + 1];
        const bool odd = ((j - 1 - ma + mb - 1) & 1) != 0;
        spare[2 * ma] = odd ? -re : re;
        spare[2 * ma + 1] = odd ? im : -im;
    }
    return spare;
}

/// Computes the numbers of one column of layer j and passes each to `use(ma, re, im)`.
template <class Use>
TORCHML_INLINE void next_column(int j, const Parameters& p, const Vec* before, Vec* column,
                                const Use& use) {
    Vec left_re = before[0];
    Vec left_im = before[1];
    {
        const Vec re = p.a_re * left_re + p.a_im * left_im;
        const Vec im = p.a_re * left_im - p.a_im * left_re;
        column[0] = re;
        column[1] = im;
        use(0, re, im);
    }
    for (int ma = 1; ma < j; ++ma) {
        const Vec here_re = before[2 * ma];
        const Vec here_im = before[2 * ma + 1];
        const Vec re = p.a_re * here_re + p.a_im * here_im - p.b_re * left_re - p.b_im * left_im;
        const Vec im = p.a_re * here_im - p.a_im * here_re - p.b_re * left_im + p.b_im * left_re;
        column[2 * ma] = re;
        column[2 * ma + 1] = im;
        use(ma, re, im);
        left_re = here_re;
        left_im = here_im;
    }
    const Vec re = -p.b_re * left_re - p.b_im * left_im;
    const Vec im = p.b_im * left_re - p.b_re * left_im;
    column[2 * j] = re;
    column[2 * j + 1] = im;
    use(j, re, im);
}

/// The expansions of particles first to last, one in each lane, into work.sums.
void expand(const BispectrumTables& tables, const Neighbourhoods& block, int first, int last,
            const Workspace& work) {
    const int twojmax = tables.twojmax;
    const int half = tables.half_starts[twojmax + 1];
    for (int i = 0; i < 2 * half; ++i) work.sums[i] = Vec{};

    const int begin = block.starts[first];
    int most = 0;
    for (int i = first; i < last; ++i) most = larger(most, block.starts[i + 1] - block.starts[i]);
    const int layer_size = 2 * (twojmax + 1) * (twojmax / 2 + 2);
    Vec* spare = work.layers + 2 * layer_size;
    for (int k = 0; k < most; ++k) {
        Parameters p{};
        Vec scale{};
        for (int lane = 0; lane < last - first; ++lane) {
            const int at = block.starts[first + lane] - begin + k;
            if (k >= block.starts[first + lane + 1] - block.starts[first + lane]) continue;
            p.a_re[lane] = work.pairs.a_re[at];
            p.a_im[lane] = work.pairs.a_im[at];
            p.b_re[lane] = work.pairs.b_re[at];
            p.b_im[lane] = work.pairs.b_im[at];
            scale[lane] = work.pairs.scale[at];
        }
        Vec* before = work.layers;
        Vec* layer = work.layers + layer_size;
        before[0] = scale;
        before[1] = Vec{};
        work.sums[0] += scale;
        for (int j = 1; j <= twojmax; ++j) {
            Vec* sums = work.sums + 2 * tables.half_starts[j];
            for (int mb = 0; 2 * mb <= j; ++mb) {
                Vec* column_sums = sums + 2 * mb * (j + 1);
                next_column(j, p, source_column(j, mb, before, spare), layer + 2 * mb * (j + 1),
                            [=](int ma, Vec re, Vec im) __attribute__((always_inline)) {
                                column_sums[2 * ma] += re;
                                column_sums[2 * ma + 1] += im;
                            });
            }
            Vec* other = before;
            before = layer;
            layer = other;
        }
    }
}

/// Wigner functions of all rows and columns from the half that was summed, and the particle itself.
void complete(const BispectrumTables& tables, const Workspace& work) {
    for (int j = 0; j <= tables.twojmax; ++j) {
        const Vec* sums = work.sums + 2 * tables.half_starts[j];
        const double* norms = tables.norms + tables.half_starts[j];
        Vec* full = work.full + 2 * tables.full_starts[j];
        for (int mb = 0; 2 * mb <= j; ++mb) {
            for (int ma = 0; ma <= j; ++ma) {
                const int at = mb * (j + 1) + ma;
                const int opposite = (j - mb) * (j + 1) + j - ma;
                const Vec re = sums[2 * at] * norms[at] + (ma == mb ? 1.0 : 0.0);
                const Vec im = sums[2 * at + 1] * norms[at];
                full[2 * at] = re;
                full[2 * at + 1] = im;
                if (2 * mb == j) continue;
                const bool odd = ((ma + mb) & 1) != 0;
                full[2 * opposite] = odd ? -re : re;
                full[2 * opposite + 1] = odd ? im : -im;
            }
        }
    }
}

/// z of the layers j of a coupling, for one row and one column of each: the sum over m1 of both
/// indices of coefficients times u_{j1} u_{j2}. `first` and `second` point at the first terms.
template <int n>
TORCHML_INLINE void couple(const Vec* first, int row_stride1, const Vec* second, int row_stride2,
                           int n_rows, int n_columns, const double* row_coefficients,
                           const double* column_coefficients, int n_j, Vec* z) {
    Vec z_re[n] = {};
    Vec z_im[n] = {};
    for (int ma = 0; ma < n_rows; ++ma) {
        Vec sum_re[n] = {};
        Vec sum_im[n] = {};
        const Vec* u1 = first + 2 * ma;
        const Vec* u2 = second - 2 * ma;
        const double* c = column_coefficients;
        for (int mb = 0; mb < n_columns; ++mb) {
            const Vec re = u1[0] * u2[0] - u1[1] * u2[1];
            const Vec im = u1[0] * u2[1] + u1[1] * u2[0];
            for (int i = 0; i < n; ++i) {
                sum_re[i] += c[i] * re;
                sum_im[i] += c[i] * im;
            }
            u1 += row_stride1;
            u2 -= row_stride2;
            c += n_j;
        }
        for (int i = 0; i < n; ++i) {
            z_re[i] += row_coefficients[i] * sum_re[i];
            z_im[i] += row_coefficients[i] * sum_im[i];
        }
        row_coefficients += n_j;
    }
    for (int i = 0; i < n; ++i) {
        z[2 * i] = z_re[i];
        z[2 * i + 1] = z_im[i];
    }
}

/// Iterates over a coupling's rows and columns (the stored half of each layer) and passes z to
/// `use(slot, element of the half, ma, mb, j, re, im)`.
template <class Use>
TORCHML_INLINE void go_through(const BispectrumTables& tables, const Coupling& coupling,
                               const Vec* full, const Use& use) {
    const int j1 = coupling.j1;
    const int j2 = coupling.j2;
    const int j_last = coupling.j_first + 2 * (coupling.n_j - 1);
    const Vec* u1 = full + 2 * tables.full_starts[j1];
    const Vec* u2 = full + 2 * tables.full_starts[j2];
    for (int column = 0; 2 * column <= j1 + j2; ++column) {
        const int twice_mb = 2 * column - j1 - j2;
        if (-twice_mb > j_last) continue;
        const int mb_first = column > j2 ? column - j2 : 0;
        const int n_columns = (column < j1 ? column : j1) - mb_first + 1;
        const double* column_start = tables.coefficients + coupling.column_starts[column];
        for (int row = 0; row <= j1 + j2; ++row) {
            const int twice_ma = 2 * row - j1 - j2;
            // Symmetry gives the second half of the middle column.
            if (twice_mb == 0 && twice_ma > 0) break;
            if (magnitude(twice_ma) > j_last) continue;
            const int j_least = larger(coupling.j_first, larger(magnitude(twice_ma), -twice_mb));
            const int ma_first = coupling.row_first[row];
            const double* row_start = tables.coefficients + coupling.row_starts[row];
            const Vec* first = u1 + 2 * (mb_first * (j1 + 1) + ma_first);
            const Vec* second = u2 + 2 * ((column - mb_first) * (j2 + 1) + row - ma_first);
            for (int k = (j_least - coupling.j_first) / 2; k < coupling.n_j; k += max_targets) {
                Vec z[2 * max_targets];
                const int n = coupling.n_j - k < max_targets ? coupling.n_j - k : max_targets;
                const int stride1 = 2 * (j1 + 1);
                const int stride2 = 2 * (j2 + 1);
                const int n_rows = coupling.row_counts[row];
                const double* a = row_start + k;
                const double* b = column_start + k;
                const int n_j = coupling.n_j;
                switch (n) {
                    case 1:
                        couple<1>(first, stride1, second, stride2, n_rows, n_columns, a, b, n_j, z);
                        break;
                    case 2:
                        couple<2>(first, stride1, second, stride2, n_rows, n_columns, a, b, n_j, z);
                        break;
                    case 3:
                        couple<3>(first, stride1, second, stride2, n_rows, n_columns, a, b, n_j, z);
                        break;
                    case 4:
                        couple<4>(first, stride1, second, stride2, n_rows, n_columns, a, b, n_j, z);
                        break;
                    default:
                        couple<5>(first, stride1, second, stride2, n_rows, n_columns, a, b, n_j, z);
                }
                for (int i = 0; i < n; ++i) {
                    const int j = coupling.j_first + 2 * (k + i);
                    const int ma = (twice_ma + j) / 2;
                    const int mb = (twice_mb + j) / 2;
                    use(coupling.slot + k + i, j, ma, mb, z[2 * i], z[2 * i + 1]);
                }
            }
        }
    }
}

/// How many numbers of its layer a number of the stored half represents.
TORCHML_INLINE double multiplicity(int j, int ma, int mb) {
    if (2 * mb < j) return 2.0;
    return ma < mb ? 2.0 : ma == mb ? 1.0 : 0.0;
}

void values(const BispectrumTables& tables, const Neighbourhoods& block, double* scratch,
            double* values) {
    long size = 0;
    const Workspace work = lay_out(tables, largest_group(block), scratch, &size);
    for (int first = 0; first < block.n; first += lanes) {
        const int last = first + lanes < block.n ? first + lanes : block.n;
        prepare_pairs<false>(tables, block, first, last, work.pairs);
        expand(tables, block, first, last, work);
        complete(tables, work);
        for (int slot = 0; slot < tables.n_value_slots; ++slot) work.slots[slot] = Vec{};
        for (int i = 0; i < tables.n_value_couplings; ++i) {
            go_through(
                tables, tables.value_couplings[i], work.full,
                [&](int slot, int j, int ma, int mb, Vec re, Vec im)
                    __attribute__((always_inline)) {
                        const Vec* u = work.full + 2 * (tables.full_starts[j] + mb * (j + 1) + ma);
                        work.slots[slot] += multiplicity(j, ma, mb) * (u[0] * re + u[1] * im);
                    });
        }
        for (int column = 0; column < tables.width; ++column) {
            const Vec value =
                work.slots[tables.value_slots[column]] * tables.value_factors[column] -
                tables.value_shifts[column];
            for (int lane = 0; lane < last - first; ++lane) {
                values[static_cast<long>(first + lane) * tables.width + column] = value[lane];
            }
        }
    }
}

/// Adds a complex weight of number (ma, mb) of layer j to `weights` of the layer's stored half.
TORCHML_INLINE void add_folded(int j, int ma, int mb, Vec re, Vec im, Vec* weights) {
    if (2 * mb > j) {
        const bool odd = ((j - ma + j - mb) & 1) != 0;
        mb = j - mb;
        ma = j - ma;
        re = odd ? -re : re;
        im = odd ? im : -im;
    }
    weights[2 * (mb * (j + 1) + ma)] += re;
    weights[2 * (mb * (j + 1) + ma) + 1] += im;
}

/// Turns the derivatives of the energy with respect to the expansion (work.adjoint) into the
/// weights of a neighbour's monomials: work.adjoint then holds those that give the energy,
/// work.slopes those that give its derivatives with respect to a_re, a_im, b_re, b_im.
void weigh_monomials(const BispectrumTables& tables, const Workspace& work) {
    const int inner = tables.half_starts[tables.twojmax];
    for (int i = 0; i < 8 * inner; ++i) work.slopes[i] = Vec{};
    for (int j = 0; j <= tables.twojmax; ++j) {
        const double* norms = tables.norms + tables.half_starts[j];
        Vec* adjoint = work.adjoint + 2 * tables.half_starts[j];
        Vec* slopes[4] = {};
        for (int i = 0; i < 4 && j > 0; ++i) {
            slopes[i] = work.slopes + 2 * (i * inner + tables.half_starts[j - 1]);
        }
        for (int mb = 0; 2 * mb <= j; ++mb) {
            for (int ma = 0; ma <= j; ++ma) {
                const int at = mb * (j + 1) + ma;
                const double factor = multiplicity(j, ma, mb) * norms[at];
                const Vec re = adjoint[2 * at] * factor;
                const Vec im = -adjoint[2 * at + 1] * factor;
                adjoint[2 * at] = re;
                adjoint[2 * at + 1] = im;
                if (factor == 0.0 || j == 0) continue;
                const double down = j - mb;
                const double up = mb;
                // d v_j(ma, mb) = (j - mb) (da* v(ma, mb) - db* v(ma - 1, mb))
                //               + mb (db v(ma, mb - 1) + da v(ma - 1, mb - 1)), with v of j - 1.
                if (ma < j) {
                    add_folded(j - 1, ma, mb, down * re, down * im, slopes[0]);
                    add_folded(j - 1, ma, mb, down * im, -down * re, slopes[1]);
                }
                if (ma > 0) {
                    add_folded(j - 1, ma - 1, mb, -down * re, -down * im, slopes[2]);
                    add_folded(j - 1, ma - 1, mb, -down * im, down * re, slopes[3]);
                }
                if (mb > 0 && ma < j) {
                    add_folded(j - 1, ma, mb - 1, up * re, up * im, slopes[2]);
                    add_folded(j - 1, ma, mb - 1, -up * im, up * re, slopes[3]);
                }
                if (mb > 0 && ma > 0) {
                    add_folded(j - 1, ma - 1, mb - 1, up * re, up * im, slopes[0]);
                    add_folded(j - 1, ma - 1, mb - 1, -up * im, up * re, slopes[1]);
                }
            }
        }
    }
}

/// Copies one particle's weights out of its lane: for each number of the half, those of the energy
/// and (except in the last layer) of its four derivatives, real part and minus the imaginary part.
void pick_weights(const BispectrumTables& tables, const Workspace& work, int lane) {
    const int inner = tables.half_starts[tables.twojmax];
    const int half = tables.half_starts[tables.twojmax + 1];
    double* to = work.weights;
    for (int i = 0; i < inner; ++i) {
        to[0] = work.adjoint[2 * i][lane];
        to[1] = -work.adjoint[2 * i + 1][lane];
        for (int s = 0; s < 4; ++s) {
            to[2 + 2 * s] = work.slopes[2 * (s * inner + i)][lane];
            to[3 + 2 * s] = -work.slopes[2 * (s * inner + i) + 1][lane];
        }
        to += 10;
    }
    for (int i = inner; i < half; ++i) {
        to[0] = work.adjoint[2 * i][lane];
        to[1] = -work.adjoint[2 * i + 1][lane];
        to += 2;
    }
}

struct Derivatives {
    Vec energy, a_re, a_im, b_re, b_im;
};

/// The products of a vector of neighbours' monomials with their particle's weights.
TORCHML_INLINE Derivatives contract(const BispectrumTables& tables, const Workspace& work,
                                    const Parameters& p) {
    const int twojmax = tables.twojmax;
    const int layer_size = 2 * (twojmax + 1) * (twojmax / 2 + 2);
    Vec* before = work.layers;
    Vec* layer = work.layers + layer_size;
    Vec* spare = work.layers + 2 * layer_size;
    const double* w = work.weights;
    before[0] = broadcast(1.0);
    before[1] = Vec{};
    Derivatives d{};
    d.energy += w[0];
    if (twojmax == 0) return d;
    d.a_re += w[2];
    d.a_im += w[4];
    d.b_re += w[6];
    d.b_im += w[8];
    w += 10;
    for (int j = 1; j < twojmax; ++j) {
        for (int mb = 0; 2 * mb <= j; ++mb) {
            next_column(j, p, source_column(j, mb, before, spare), layer + 2 * mb * (j + 1),
                        [&d, w](int ma, Vec re, Vec im) __attribute__((always_inline)) {
                            const double* own = w + 10 * ma;
                            d.energy = d.energy + own[0] * re + own[1] * im;
                            d.a_re = d.a_re + own[2] * re + own[3] * im;
                            d.a_im = d.a_im + own[4] * re + own[5] * im;
                            d.b_re = d.b_re + own[6] * re + own[7] * im;
                            d.b_im = d.b_im + own[8] * re + own[9] * im;
                        });
            w += 10 * (j + 1);
        }
        Vec* other = before;
        before = layer;
        layer = other;
    }
    const int j = twojmax;
    for (int mb = 0; 2 * mb <= j; ++mb) {
        next_column(j, p, source_column(j, mb, before, spare), layer,
                    [&d, w](int ma, Vec re, Vec im) __attribute__((always_inline)) {
                        d.energy = d.energy + w[2 * ma] * re + w[2 * ma + 1] * im;
                    });
        w += 2 * (j + 1);
    }
    return d;
}

void vjp(const BispectrumTables& tables, const Neighbourhoods& block, const double* weights,
         double* scratch, double* gx, double* gy, double* gz) {
    long size = 0;
    const Workspace work = lay_out(tables, largest_group(block), scratch, &size);
    const int half = tables.half_starts[tables.twojmax + 1];
    for (int first = 0; first < block.n; first += lanes) {
        const int last = first + lanes < block.n ? first + lanes : block.n;
        if (block.starts[first] == block.starts[last]) continue;
        prepare_pairs<true>(tables, block, first, last, work.pairs);
        expand(tables, block, first, last, work);
        complete(tables, work);

        for (int slot = 0; slot < tables.n_slots; ++slot) {
            Vec weight{};
            for (int k = tables.weight_starts[slot]; k < tables.weight_starts[slot + 1]; ++k) {
                const double* column =
                    weights + static_cast<long>(first) * tables.width + tables.weight_columns[k];
                for (int lane = 0; lane < last - first; ++lane) {
                    weight[lane] +=
                        tables.weight_factors[k] * column[static_cast<long>(lane) * tables.width];
                }
            }
            work.slots[slot] = weight;
        }
        for (int i = 0; i < 2 * half; ++i) work.adjoint[i] = Vec{};
        for (int i = 0; i < tables.n_couplings; ++i) {
            go_through(tables, tables.couplings[i], work.full,
                       [&](int slot, int j, int ma, int mb, Vec re,
                           Vec im) __attribute__((always_inline)) {
                           Vec* to = work.adjoint + 2 * (tables.half_starts[j] + mb * (j + 1) + ma);
                           to[0] += work.slots[slot] * re;
                           to[1] += work.slots[slot] * im;
                       });
        }
        weigh_monomials(tables, work);

        const int begin = block.starts[first];
        for (int i = first; i < last; ++i) {
            pick_weights(tables, work, i - first);
            for (int k = block.starts[i]; k < block.starts[i + 1]; k += lanes) {
                const int some = block.starts[i + 1] - k;
                const int at = k - begin;
                const Parameters p{load(work.pairs.a_re + at), load(work.pairs.a_im + at),
                                   load(work.pairs.b_re + at), load(work.pairs.b_im + at)};
                const Derivatives d = contract(tables, work, p);
                const Vec over_r = 1.0 / load_some(block.r + k, some, 1.0);
                const Vec nx = load_some(block.x + k, some, 0.0) * over_r;
                const Vec ny = load_some(block.y + k, some, 0.0) * over_r;
                const Vec nz = load_some(block.z + k, some, 0.0) * over_r;
                // The parameters are cos(theta) and sin(theta) times (-z, y, -x) / r.
                const Vec along = d.b_re * ny - d.a_im * nz - d.b_im * nx;
                const Vec scale = load(work.pairs.scale + at);
                const Vec turn = scale * load(work.pairs.sin_over_r + at);
                const Vec radial = load(work.pairs.scale_slope + at) * d.energy +
                                   scale * (load(work.pairs.cos_slope + at) * along -
                                            load(work.pairs.sin_slope + at) * d.a_re) -
                                   turn * along;
                store_some(gx + k, radial * nx - turn * d.b_im, some);
                store_some(gy + k, radial * ny + turn * d.b_re, some);
                store_some(gz + k, radial * nz - turn * d.a_im, some);
            }
        }
    }
}

}  // namespace

template <>
const DescriptorKernels<BispectrumTables> KernelSets<BispectrumTables>::TORCHML_KERNEL_SET = {
    lanes, scratch_size, values, vjp};

}  // namespace torchml
