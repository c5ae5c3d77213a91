#pragma once

#include <memory>

#include "descriptors/descriptor.hpp"

namespace torchml {

/// The power spectrum of the smoothed neighbour density (A. P. Bartók, R. Kondor, G. Csányi, Phys.
/// Rev. B 87, 184115 (2013)) in a polynomial radial basis, as libdescriptor 0.2.3 defines it:
///
///     c(z, n, l, m) = sum over neighbours j of species z of F(n, l; r_j) Y(l, m; r_j),
///     F(n, l; r) = sum over k of w_k x_k² g_n(x_k) exp(-eta (x_k² + r²)) i_l(2 eta x_k r),
///
/// where x_k, w_k are the 100 points of a Gauss-Legendre quadrature on 0 ... cutoff, with the
/// weights of -1 ... 1, g_n is soap_basis.hpp's and i_l the modified spherical Bessel function, and
///
///     p = 4 pi³ sqrt(8 / (2 l + 1)) sum over m of c(z1, n1, l, m) c*(z2, n2, l, m)
///
/// for z1 <= z2, n1 <= n2 (for z1 < z2 too) and l, in this order, l fastest.
///
/// There is no switching function: a neighbour's contribution jumps at the cutoff.
///
/// Throws Error for invalid settings, and where libdescriptor's basis would be nan.
std::unique_ptr<Descriptor> make_soap(const SoapSettings& settings);

}  // namespace torchml
