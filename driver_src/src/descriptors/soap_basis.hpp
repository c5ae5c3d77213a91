#pragma once

#include <vector>

namespace torchml {

/// The polynomial radial basis of SOAP, g_n(r) = sum over a of (cutoff - r)^(a + 3) B(a, n) for
/// a, n = 0 ... n_max - 1, orthonormal for the weight r² on 0 ... cutoff: B is the inverse square
/// root of the overlap matrix of the (cutoff - r)^(a + 3).
///
/// That matrix is so nearly singular that a basis in double precision differs from the true one by
/// 10⁻¹⁰ for n_max = 4, by 10⁻⁴ for 6 and altogether from 7 on. A model has been trained with
/// libdescriptor's basis, not with the true one, so this is libdescriptor's: the inverse is
/// computed with its operations in its order, to the last bit (see soap_basis.cpp), and the square
/// root of the result is taken accurately.
///
/// Returns B, (n_max, n_max), rows a. Throws Error where the inverse has a negative eigenvalue, so
/// that libdescriptor's basis is not a number.
std::vector<double> polynomial_basis(int n_max, double cutoff);

}  // namespace torchml
