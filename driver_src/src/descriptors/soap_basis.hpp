#pragma once

#include <vector>

namespace torchml {

/// The polynomial radial basis of SOAP, g_n(r) = sum over a of (cutoff - r)^(a + 3) B(a, n) for
/// a, n = 0 ... n_max - 1, orthonormal for the weight r² on 0 ... cutoff: B is the inverse square
/// root of the overlap matrix of the (cutoff - r)^(a + 3).
///
/// That matrix is so nearly singular that a basis in double precision differs from the true one by
/// 10⁻¹⁰ for n_max = 4, by 10⁻⁴ for 6 and completely from 7 on. Models are trained with
/// libdescriptor's basis, not with the true one, so this function reproduces libdescriptor's: it
/// computes the inverse with the same operations in the same order, to the last bit (see
/// soap_basis.cpp), and takes the square root of the result accurately.
///
/// Returns B, (n_max, n_max), rows a. Throws Error where the inverse has a negative eigenvalue, so
/// that libdescriptor's basis would be nan.
std::vector<double> polynomial_basis(int n_max, double cutoff);

}  // namespace torchml
