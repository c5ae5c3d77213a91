#pragma once

// Vectors of doubles for kernels, which are compiled once for each instruction set. Kernel sources
// include nothing of the standard library: otherwise the linker might keep a function template's
// AVX-512 copy for the whole program.

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define TORCHML_LANES 8
#elif defined(__AVX2__)
#define TORCHML_LANES 4
#else
#define TORCHML_LANES 2
#endif

#define TORCHML_INLINE inline __attribute__((always_inline))

namespace torchml {
namespace {

constexpr int lanes = TORCHML_LANES;

typedef double Vec __attribute__((vector_size(8 * TORCHML_LANES)));
typedef long long IntVec __attribute__((vector_size(8 * TORCHML_LANES)));
typedef double UnalignedVec __attribute__((vector_size(8 * TORCHML_LANES), aligned(8), may_alias));

TORCHML_INLINE Vec load(const double* from) { return *reinterpret_cast<const UnalignedVec*>(from); }
TORCHML_INLINE void store(double* to, Vec v) { *reinterpret_cast<UnalignedVec*>(to) = v; }
TORCHML_INLINE Vec broadcast(double value) { return Vec{} + value; }
TORCHML_INLINE Vec select(IntVec mask, Vec yes, Vec no) {
    return reinterpret_cast<Vec>((mask & reinterpret_cast<IntVec>(yes)) |
                                 (~mask & reinterpret_cast<IntVec>(no)));
}

/// Loads `count` values, fewer than a vector's if it is the last one of an array; the other lanes
/// get `filler`.
TORCHML_INLINE Vec load_some(const double* from, int count, double filler) {
    if (count >= lanes) return load(from);
    Vec v = broadcast(filler);
    for (int lane = 0; lane < count; ++lane) v[lane] = from[lane];
    return v;
}

TORCHML_INLINE void store_some(double* to, Vec v, int count) {
    if (count >= lanes) {
        store(to, v);
        return;
    }
    for (int lane = 0; lane < count; ++lane) to[lane] = v[lane];
}

struct SinCos {
    Vec sin, cos;
};

/// Both are accurate to about one unit in the last place for |x| < 10⁵. The nearest multiple of π/2
/// is subtracted in two steps; the remainder goes into the Taylor series, whose first neglected
/// term is below 10⁻¹⁷.
TORCHML_INLINE SinCos sincos(Vec x) {
    const double round_to_integer = 6755399441055744.0;  // 1.5 · 2⁵²
    const Vec shifted = x * 0.63661977236758134308 + round_to_integer;
    const Vec turns = shifted - round_to_integer;
    const IntVec quadrant = reinterpret_cast<IntVec>(shifted);
    // π/2 as the sum of three doubles, of which the first two have trailing zeros.
    Vec y = x - turns * 1.57079632673412561417e+00;
    y = y - turns * 6.077100506303966e-11;
    y = y - turns * 2.0222662487959506e-21;

    const Vec z = y * y;
    Vec s = z * -8.2206352466243297170e-18 + 2.8114572543455207632e-15;  // 1/19!, 1/17!
    s = s * z - 7.6471637318198164759e-13;
    s = s * z + 1.6059043836821614599e-10;
    s = s * z - 2.5052108385441718775e-08;
    s = s * z + 2.7557319223985890653e-06;
    s = s * z - 1.9841269841269841270e-04;
    s = s * z + 8.3333333333333333333e-03;
    s = s * z - 1.6666666666666666667e-01;
    s = y + y * z * s;
    Vec c = z * -1.5619206968586226462e-16 + 4.7794773323873852974e-14;  // 1/18!, 1/16!
    c = c * z - 1.1470745597729724714e-11;
    c = c * z + 2.0876756987868098979e-09;
    c = c * z - 2.7557319223985890653e-07;
    c = c * z + 2.4801587301587301587e-05;
    c = c * z - 1.3888888888888888889e-03;
    c = c * z + 4.1666666666666666667e-02;
    c = 1.0 - 0.5 * z + z * z * c;

    const IntVec odd = -(quadrant & 1);
    const IntVec sin_sign = (quadrant & 2) << 62;
    const IntVec cos_sign = ((quadrant + 1) & 2) << 62;
    return {reinterpret_cast<Vec>(reinterpret_cast<IntVec>(select(odd, c, s)) ^ sin_sign),
            reinterpret_cast<Vec>(reinterpret_cast<IntVec>(select(odd, s, c)) ^ cos_sign)};
}

/// Accurate to about one unit in the last place for -708 < x < 709, and constant beyond. The
/// nearest multiple of ln 2 is subtracted and becomes the exponent; the remainder goes into the
/// Taylor series, whose first neglected term is below 10⁻¹⁷.
TORCHML_INLINE Vec exp(Vec x) {
    const Vec least = broadcast(-708.0), most = broadcast(709.0);
    x = select(reinterpret_cast<IntVec>(x < least), least, x);
    x = select(reinterpret_cast<IntVec>(x > most), most, x);
    const double round_to_integer = 6755399441055744.0;  // 1.5 · 2⁵²
    const Vec shifted = x * 1.44269504088896340736 + round_to_integer;
    const Vec twos = shifted - round_to_integer;
    // ln 2 as the sum of two doubles, of which the first has trailing zeros.
    Vec y = x - twos * 6.93147180369123816490e-01;
    y = y - twos * 1.90821492927058770002e-10;
    Vec p = y * 1.6059043836821614599e-10 + 2.0876756987868098979e-09;  // 1/13!, 1/12!
    p = p * y + 2.5052108385441718775e-08;
    p = p * y + 2.7557319223985890653e-07;
    p = p * y + 2.7557319223985890653e-06;
    p = p * y + 2.4801587301587301587e-05;
    p = p * y + 1.9841269841269841270e-04;
    p = p * y + 1.3888888888888888889e-03;
    p = p * y + 8.3333333333333333333e-03;
    p = p * y + 4.1666666666666666667e-02;
    p = p * y + 1.6666666666666666667e-01;
    p = p * y + 0.5;
    p = p * y + 1.0;
    p = p * y + 1.0;
    // The lowest bits of `shifted` are the exponent of the power of two.
    return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(p) +
                                 (reinterpret_cast<IntVec>(shifted) << 52));
}

TORCHML_INLINE Vec square_root(Vec x) {
#if defined(__AVX512F__)
    return _mm512_maskz_sqrt_pd(0xff, x);  // gcc 12 warns about the code of the plain one
#elif defined(__AVX2__)
    return _mm256_sqrt_pd(x);
#else
    for (int lane = 0; lane < lanes; ++lane) x[lane] = __builtin_sqrt(x[lane]);
    return x;
#endif
}

}  // namespace
}  // namespace torchml
