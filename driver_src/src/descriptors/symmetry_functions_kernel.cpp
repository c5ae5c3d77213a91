// The arithmetic of symmetry functions, compiled once for each instruction set (see simd.hpp).
//
// Pair functions are computed for as many neighbours of a particle at once as a vector has lanes,
// triplet functions for as many triplets. Triplets are collected in tiles, for g4 only those whose
// neighbours see each other, so that no lane is wasted; a tile stays in the first-level cache.
//
// With x_j, x_k from the centre to two neighbours, a triplet function's derivatives are
//     d/dx_j = U_j x_j + X x_k,    d/dx_k = U_k x_k + X x_j,
// with three numbers per triplet. All functions are summed into these, with their weights, before
// any vector in space is touched.

#include "descriptors/symmetry_functions_kernel.hpp"

#include "descriptors/kernel_tools.hpp"
#include "descriptors/neighbourhoods.hpp"
#include "descriptors/simd.hpp"

namespace torchml {
namespace {

/// Triplets in a tile.
constexpr int tile_size = 128;

/// The distance of padding: beyond every cutoff, with squares that are still finite.
constexpr double far_away = 1e10;

TORCHML_INLINE int padded(int count) { return (count + 2 * lanes - 1) / lanes * lanes; }

/// One particle's neighbours, with everything that does not depend on third particles. Padded by
/// at least one vector of neighbours far away, whose cutoff function is zero.
struct Pairs {
    int n;
    double *x, *y, *z;
    double* r;
    double* r2;
    double* inverse;  // 1 / r
    double* f;        // cutoff function
    double* slope;    // its derivative, over r
    double* squares;  // (n_species, padded n) squared cutoff of a neighbour and one of a species
    double* wavenumbers;       // likewise, pi / cutoff
    double *u, *cx, *cy, *cz;  // derivatives: u x + (cx, cy, cz)
};

/// Some triplets of one particle: neighbour `row[i].j` with the neighbours k of its part of the
/// tile.
struct Row {
    int j, begin, end;
};

struct Tile {
    int n, n_rows;
    Row* rows;    // (tile_size)
    int* k;       // (tile_size)
    double* d2;   // squared distance between the neighbours
    double* dot;  // x_j . x_k
    double* wavenumber;
    double* f;                          // product of the cutoff functions of both neighbours
    double* r2;                         // sum of the squares of both distances
    double* inverse;                    // product of both 1 / r
    double *slope_j, *slope_k;          // f with the derivative, over r, of one of both
    double *inverse2_j, *inverse2_k;    // squares of 1 / r
    double *cross, *along_j, *along_k;  // X, U_j, U_k
};

struct Work {
    Pairs pairs;
    Tile tile;
    Vec* sums;        // (larger number of terms) of values
    double* weights;  // (larger number of terms) times the terms' factors
    Vec *angles,
        *slopes;  // (larger number of angles) and their derivatives with respect to the cosine
};

Work divide(const SymmetryTables& tables, const Neighbourhoods& block, ScratchCursor& cursor) {
    Work work{};
    const int n = padded(most_neighbours(block));
    Pairs& pairs = work.pairs;
    double** const arrays[] = {&pairs.x,  &pairs.y,       &pairs.z,  &pairs.r,
                               &pairs.r2, &pairs.inverse, &pairs.f,  &pairs.slope,
                               &pairs.u,  &pairs.cx,      &pairs.cy, &pairs.cz};
    for (double** array : arrays) *array = cursor.take<double>(n);
    pairs.squares = cursor.take<double>(static_cast<long>(n) * tables.n_species);
    pairs.wavenumbers = cursor.take<double>(static_cast<long>(n) * tables.n_species);

    Tile& tile = work.tile;
    constexpr int size = tile_size + 2 * lanes;
    double** const columns[] = {&tile.d2,         &tile.dot,        &tile.wavenumber, &tile.f,
                                &tile.r2,         &tile.inverse,    &tile.slope_j,    &tile.slope_k,
                                &tile.inverse2_j, &tile.inverse2_k, &tile.cross,      &tile.along_j,
                                &tile.along_k};
    for (double** column : columns) *column = cursor.take<double>(size);
    tile.k = cursor.take<int>(size);
    tile.rows = cursor.take<Row>(size);

    const int n_terms = larger(tables.g4.n_terms, tables.g5.n_terms);
    const int n_angles = larger(tables.g4.n_angles, tables.g5.n_angles);
    work.sums = cursor.take<Vec>(n_terms);
    work.weights = cursor.take<double>(n_terms);
    work.angles = cursor.take<Vec>(n_angles);
    work.slopes = cursor.take<Vec>(n_angles);
    return work;
}

long scratch_size(const SymmetryTables& tables, const Neighbourhoods& block) {
    ScratchCursor cursor{nullptr, 0};
    divide(tables, block, cursor);
    return cursor.used;
}

TORCHML_INLINE double sum(Vec v) {
    double total = 0.0;
    for (int lane = 0; lane < lanes; ++lane) total += v[lane];
    return total;
}

/// Reads one particle's neighbours.
void read_pairs(const SymmetryTables& tables, const Neighbourhoods& block, int i, Pairs& pairs) {
    const int begin = block.starts[i];
    const int n = block.starts[i + 1] - begin;
    const int n_padded = padded(n);
    pairs.n = n;
    const double* cutoffs = tables.cutoffs + block.species[i] * tables.n_species;
    for (int k = 0; k < n; ++k) {
        pairs.x[k] = block.x[begin + k];
        pairs.y[k] = block.y[begin + k];
        pairs.z[k] = block.z[begin + k];
        pairs.r[k] = block.r[begin + k];
        pairs.inverse[k] = pi / cutoffs[block.neighbour_species[begin + k]];
    }
    for (int k = n; k < n_padded; ++k) {
        pairs.x[k] = pairs.y[k] = pairs.z[k] = far_away;
        pairs.r[k] = 1.0;
        pairs.inverse[k] = pi;
    }
    for (int s = 0; s < tables.n_species; ++s) {
        const double* of_species = tables.cutoffs + s * tables.n_species;
        double* squares = pairs.squares + s * n_padded;
        double* wavenumbers = pairs.wavenumbers + s * n_padded;
        for (int k = 0; k < n; ++k) {
            const double cutoff = of_species[block.neighbour_species[begin + k]];
            squares[k] = cutoff * cutoff;
            wavenumbers[k] = pi / cutoff;
        }
        for (int k = n; k < n_padded; ++k) squares[k] = wavenumbers[k] = 1.0;
    }
    for (int k = 0; k < n_padded; k += lanes) {
        const Vec r = load(pairs.r + k);
        const Vec wavenumber = load(pairs.inverse + k);
        // For a neighbour at the centre itself, everything divided by r vanishes faster than r.
        const Vec inverse = 1.0 / select(reinterpret_cast<IntVec>(r > 1e-100), r, Vec{} + 1e-100);
        const SinCos turn = sincos(wavenumber * r);
        store(pairs.r2 + k, r * r);
        store(pairs.inverse + k, inverse);
        store(pairs.f + k, 0.5 * turn.cos + 0.5);
        store(pairs.slope + k, -0.5 * wavenumber * turn.sin * inverse);
    }
    for (int k = n; k < n_padded; ++k) pairs.f[k] = pairs.slope[k] = 0.0;
}

void pair_values(const SymmetryTables& tables, const Pairs& pairs, double* values) {
    if (tables.n_g1 != 0) {
        Vec total{};
        for (int k = 0; k < pairs.n; k += lanes) total += load(pairs.f + k);
        for (int q = 0; q < tables.n_g1; ++q) values[tables.g1_columns[q]] = sum(total);
    }
    for (int q = 0; q < tables.n_g2; ++q) {
        const double eta = tables.g2_etas[q], shift = tables.g2_shifts[q];
        Vec total{};
        for (int k = 0; k < pairs.n; k += lanes) {
            const Vec d = load(pairs.r + k) - shift;
            total += exp(-eta * (d * d)) * load(pairs.f + k);
        }
        values[tables.g2_columns[q]] = sum(total);
    }
    for (int q = 0; q < tables.n_g3; ++q) {
        const double kappa = tables.g3_kappas[q];
        Vec total{};
        for (int k = 0; k < pairs.n; k += lanes) {
            total += sincos(kappa * load(pairs.r + k)).cos * load(pairs.f + k);
        }
        values[tables.g3_columns[q]] = sum(total);
    }
}

/// Initialises the sums of derivatives with those of the pair functions.
void pair_vjp(const SymmetryTables& tables, const double* weights, Pairs& pairs) {
    double of_g1 = 0.0;
    for (int q = 0; q < tables.n_g1; ++q) of_g1 += weights[tables.g1_columns[q]];
    for (int k = 0; k < padded(pairs.n); k += lanes) {
        const Vec r = load(pairs.r + k);
        const Vec slope = load(pairs.slope + k);
        const Vec f_over_r = load(pairs.f + k) * load(pairs.inverse + k);
        Vec total = of_g1 * slope;
        for (int q = 0; q < tables.n_g2; ++q) {
            const double eta = tables.g2_etas[q];
            const Vec d = r - tables.g2_shifts[q];
            total += weights[tables.g2_columns[q]] * exp(-eta * (d * d)) *
                     (slope - 2.0 * eta * d * f_over_r);
        }
        for (int q = 0; q < tables.n_g3; ++q) {
            const double kappa = tables.g3_kappas[q];
            const SinCos turn = sincos(kappa * r);
            total +=
                weights[tables.g3_columns[q]] * (turn.cos * slope - kappa * turn.sin * f_over_r);
        }
        store(pairs.u + k, total);
        store(pairs.cx + k, Vec{});
        store(pairs.cy + k, Vec{});
        store(pairs.cz + k, Vec{});
    }
}

/// Fills the columns of a tile that follow from its neighbours' own values; the last vector is
/// padded with triplets whose cutoff function is zero.
template <bool is_g4, bool with_slopes>
TORCHML_INLINE void fill(const Pairs& pairs, const double* wavenumbers_of_rows, Tile& tile,
                         const int* species) {
    const int stride = padded(pairs.n);
    for (int row = 0; row < tile.n_rows; ++row) {
        const Row& r = tile.rows[row];
        const double f = pairs.f[r.j], r2 = pairs.r2[r.j], inverse = pairs.inverse[r.j];
        const double slope = pairs.slope[r.j], inverse2 = inverse * inverse;
        const double* wavenumbers = wavenumbers_of_rows + species[r.j] * stride;
        for (int t = r.begin; t < r.end; ++t) {
            const int k = tile.k[t];
            tile.f[t] = f * pairs.f[k];
            tile.r2[t] = r2 + pairs.r2[k];
            tile.inverse[t] = inverse * pairs.inverse[k];
            if (is_g4) tile.wavenumber[t] = wavenumbers[k];
            if (with_slopes) {
                tile.slope_j[t] = slope * pairs.f[k];
                tile.slope_k[t] = f * pairs.slope[k];
                tile.inverse2_j[t] = inverse2;
                tile.inverse2_k[t] = pairs.inverse[k] * pairs.inverse[k];
            }
        }
    }
    for (int t = tile.n; t < padded(tile.n); ++t) {
        tile.f[t] = tile.dot[t] = tile.slope_j[t] = tile.slope_k[t] = 0.0;
        tile.r2[t] = tile.inverse[t] = tile.d2[t] = tile.wavenumber[t] = 1.0;
        tile.inverse2_j[t] = tile.inverse2_k[t] = 1.0;
    }
}

/// The angular terms of a vector of triplets and, on request, their derivatives. Where
/// 1 + lambda cos is not positive (with |lambda| = 1, by rounding only), both are zero.
template <bool with_slopes>
TORCHML_INLINE void raise(const TripletTables& tables, Vec cosine, Vec* angles, Vec* slopes) {
    constexpr int most_squares = 32;
    for (int l = 0; l < tables.n_lambdas; ++l) {
        const double lambda = tables.lambdas[l];
        Vec base = 1.0 + lambda * cosine;
        const IntVec positive = reinterpret_cast<IntVec>(base > 0.0);
        base = select(positive, base, Vec{});
        const Vec one = select(positive, Vec{} + 1.0, Vec{});
        Vec squares[most_squares];
        squares[0] = base;
        for (int s = 1; s < tables.n_squares[l]; ++s) squares[s] = squares[s - 1] * squares[s - 1];
        for (int a = tables.angle_starts[l]; a < tables.angle_starts[l + 1]; ++a) {
            Vec lowered = one;  // to the power zeta - 1
            if (tables.powers[a] >= 0) {
                for (int s = 0, bits = tables.powers[a]; bits != 0; ++s, bits >>= 1) {
                    if (bits & 1) lowered *= squares[s];
                }
            } else {
                for (int lane = 0; lane < lanes; ++lane) {
                    if (base[lane] > 0.0) {
                        lowered[lane] = __builtin_pow(base[lane], tables.zetas[a] - 1.0);
                    }
                }
            }
            angles[a] = lowered * base;
            if (with_slopes) slopes[a] = tables.zetas[a] * lambda * lowered;
        }
    }
}

/// The factor of a triplet's third pair, its derivative divided by that pair's distance, and
/// the sum of squares in the exponent.
struct Third {
    Vec f, slope, squares;
};

template <bool is_g4>
TORCHML_INLINE Third third_pair(const Tile& tile, int t) {
    if (!is_g4) return {Vec{} + 1.0, Vec{}, load(tile.r2 + t)};
    const Vec d2 = load(tile.d2 + t);
    const Vec d = square_root(d2);
    const Vec wavenumber = load(tile.wavenumber + t);
    const SinCos turn = sincos(wavenumber * d);
    // For two neighbours at the same place, the limit is finite but the division is not.
    const Vec divisor = select(reinterpret_cast<IntVec>(d > 1e-100), d, Vec{} + 1e-100);
    return {0.5 * turn.cos + 0.5, -0.5 * wavenumber * turn.sin / divisor, load(tile.r2 + t) + d2};
}

template <bool is_g4>
void tile_values(const TripletTables& tables, const Pairs& pairs, const int* species, Work& work) {
    Tile& tile = work.tile;
    fill<is_g4, false>(pairs, pairs.wavenumbers, tile, species);
    for (int t = 0; t < tile.n; t += lanes) {
        const Third third = third_pair<is_g4>(tile, t);
        const Vec f = load(tile.f + t) * third.f;
        raise<false>(tables, load(tile.dot + t) * load(tile.inverse + t), work.angles, nullptr);
        for (int e = 0; e < tables.n_etas; ++e) {
            const Vec weight = f * exp(-tables.etas[e] * third.squares);
            for (int q = tables.term_starts[e]; q < tables.term_starts[e + 1]; ++q) {
                work.sums[q] += weight * work.angles[tables.term_angles[q]];
            }
        }
    }
}

template <bool is_g4>
void tile_vjp(const TripletTables& tables, Pairs& pairs, const int* species, Work& work) {
    Tile& tile = work.tile;
    fill<is_g4, true>(pairs, pairs.wavenumbers, tile, species);
    for (int t = 0; t < tile.n; t += lanes) {
        const Third third = third_pair<is_g4>(tile, t);
        const Vec cosine = load(tile.dot + t) * load(tile.inverse + t);
        raise<true>(tables, cosine, work.angles, work.slopes);
        Vec by_f{}, by_squares{}, by_cosine{};
        for (int e = 0; e < tables.n_etas; ++e) {
            const Vec damping = exp(-tables.etas[e] * third.squares);
            Vec angle{}, slope{};
            for (int q = tables.term_starts[e]; q < tables.term_starts[e + 1]; ++q) {
                angle += work.weights[q] * work.angles[tables.term_angles[q]];
                slope += work.weights[q] * work.slopes[tables.term_angles[q]];
            }
            angle *= damping;
            by_f += angle;
            by_squares -= tables.etas[e] * angle;
            by_cosine += damping * slope;
        }
        const Vec f = load(tile.f + t) * third.f;
        by_squares *= f;
        by_cosine *= f;
        const Vec by_third = by_f * load(tile.f + t) * third.slope;
        by_f *= third.f;
        const Vec turning = by_cosine * cosine;
        // The squares of both distances, and for g4 that of the third, 2 (x_j - x_k) times as much.
        const Vec stretch = (is_g4 ? 4.0 : 2.0) * by_squares + by_third;
        Vec cross = by_cosine * load(tile.inverse + t);
        if (is_g4) cross -= 2.0 * by_squares + by_third;
        store(tile.cross + t, cross);
        store(tile.along_j + t,
              stretch + by_f * load(tile.slope_j + t) - turning * load(tile.inverse2_j + t));
        store(tile.along_k + t,
              stretch + by_f * load(tile.slope_k + t) - turning * load(tile.inverse2_k + t));
    }
    for (int row = 0; row < tile.n_rows; ++row) {
        const Row& r = tile.rows[row];
        const double x = pairs.x[r.j], y = pairs.y[r.j], z = pairs.z[r.j];
        double u = 0.0, cx = 0.0, cy = 0.0, cz = 0.0;
        for (int t = r.begin; t < r.end; ++t) {
            const int k = tile.k[t];
            const double cross = tile.cross[t];
            u += tile.along_j[t];
            cx += cross * pairs.x[k];
            cy += cross * pairs.y[k];
            cz += cross * pairs.z[k];
            pairs.u[k] += tile.along_k[t];
            pairs.cx[k] += cross * x;
            pairs.cy[k] += cross * y;
            pairs.cz[k] += cross * z;
        }
        pairs.u[r.j] += u;
        pairs.cx[r.j] += cx;
        pairs.cy[r.j] += cy;
        pairs.cz[r.j] += cz;
    }
}

template <bool is_g4, bool with_slopes>
void end_tile(const TripletTables& tables, const int* species, Work& work) {
    if (work.tile.n != 0) {
        if (with_slopes) {
            tile_vjp<is_g4>(tables, work.pairs, species, work);
        } else {
            tile_values<is_g4>(tables, work.pairs, species, work);
        }
    }
    work.tile.n = 0;
    work.tile.n_rows = 0;
}

/// Collects one particle's triplets in tiles, and computes with each tile.
template <bool is_g4, bool with_slopes>
void for_triplets(const TripletTables& tables, const int* species, Work& work) {
    if (tables.n_terms == 0) return;
    const Pairs& pairs = work.pairs;
    const int stride = padded(pairs.n);
    Tile& tile = work.tile;
    tile.n = tile.n_rows = 0;
    for (int j = 0; j + 1 < pairs.n; ++j) {
        const double x = pairs.x[j], y = pairs.y[j], z = pairs.z[j];
        const double* squares = pairs.squares + species[j] * stride;
        int begin = tile.n;
        for (int first = j + 1; first < pairs.n; first += lanes) {
            if (tile.n > tile_size - lanes) {
                if (tile.n != begin) tile.rows[tile.n_rows++] = {j, begin, tile.n};
                end_tile<is_g4, with_slopes>(tables, species, work);
                begin = 0;
            }
            const Vec xk = load(pairs.x + first), yk = load(pairs.y + first);
            const Vec zk = load(pairs.z + first);
            const Vec dx = xk - x, dy = yk - y, dz = zk - z;
            double d2[lanes] __attribute__((aligned(64)));
            double dot[lanes] __attribute__((aligned(64)));
            store(d2, dx * dx + dy * dy + dz * dz);
            store(dot, xk * x + yk * y + zk * z);
            // Padding is beyond every cutoff.
            const int some = is_g4 || pairs.n - first > lanes ? lanes : pairs.n - first;
            int n = tile.n;
            for (int lane = 0; lane < some; ++lane) {
                tile.k[n] = first + lane;
                tile.d2[n] = d2[lane];
                tile.dot[n] = dot[lane];
                n += is_g4 ? d2[lane] <= squares[first + lane] : 1;  // no branch to be mistaken in
            }
            tile.n = n;
        }
        if (tile.n != begin) tile.rows[tile.n_rows++] = {j, begin, tile.n};
    }
    end_tile<is_g4, with_slopes>(tables, species, work);
}

template <bool is_g4>
void triplet_values(const TripletTables& tables, const int* species, Work& work, double* values) {
    for (int q = 0; q < tables.n_terms; ++q) work.sums[q] = Vec{};
    for_triplets<is_g4, false>(tables, species, work);
    for (int q = 0; q < tables.n_terms; ++q) {
        values[tables.term_columns[q]] = tables.term_factors[q] * sum(work.sums[q]);
    }
}

template <bool is_g4>
void triplet_vjp(const TripletTables& tables, const int* species, const double* weights,
                 Work& work) {
    for (int q = 0; q < tables.n_terms; ++q) {
        work.weights[q] = tables.term_factors[q] * weights[tables.term_columns[q]];
    }
    for_triplets<is_g4, true>(tables, species, work);
}

void values(const SymmetryTables& tables, const Neighbourhoods& block, double* scratch,
            double* values) {
    ScratchCursor cursor{scratch, 0};
    Work work = divide(tables, block, cursor);
    for (int i = 0; i < block.n; ++i, values += tables.width) {
        const int* species = block.neighbour_species + block.starts[i];
        read_pairs(tables, block, i, work.pairs);
        pair_values(tables, work.pairs, values);
        triplet_values<true>(tables.g4, species, work, values);
        triplet_values<false>(tables.g5, species, work, values);
    }
}

void vjp(const SymmetryTables& tables, const Neighbourhoods& block, const double* weights,
         double* scratch, double* gx, double* gy, double* gz) {
    ScratchCursor cursor{scratch, 0};
    Work work = divide(tables, block, cursor);
    Pairs& pairs = work.pairs;
    for (int i = 0; i < block.n; ++i, weights += tables.width) {
        const int begin = block.starts[i];
        const int* species = block.neighbour_species + begin;
        read_pairs(tables, block, i, pairs);
        pair_vjp(tables, weights, pairs);
        triplet_vjp<true>(tables.g4, species, weights, work);
        triplet_vjp<false>(tables.g5, species, weights, work);
        for (int k = 0; k < pairs.n; ++k) {
            gx[begin + k] = pairs.u[k] * pairs.x[k] + pairs.cx[k];
            gy[begin + k] = pairs.u[k] * pairs.y[k] + pairs.cy[k];
            gz[begin + k] = pairs.u[k] * pairs.z[k] + pairs.cz[k];
        }
    }
}

}  // namespace

template <>
const DescriptorKernels<SymmetryTables> KernelSets<SymmetryTables>::TORCHML_KERNEL_SET = {
    lanes, scratch_size, values, vjp};

}  // namespace torchml
