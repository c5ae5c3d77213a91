#pragma once

#include <memory>

#include "descriptors/descriptor.hpp"
#include "descriptors/settings.hpp"

namespace torchml {

/// Behler's symmetry functions g1 to g5 (J. Behler, J. Chem. Phys. 134, 074106 (2011)), as
/// libdescriptor defines them. With the cutoff function f(r) = (cos(pi r / cutoff) + 1) / 2:
///
///     g1 = sum over neighbours of f
///     g2 = sum of exp(-eta (r - Rs)²) f
///     g3 = sum of cos(kappa r) f
///     g4 = 2^(1 - zeta) sum over pairs of neighbours j, k of
///          (1 + lambda cos)^zeta exp(-eta (r_ij² + r_ik² + r_jk²)) f(r_ij) f(r_ik) f(r_jk)
///     g5 = the same without r_jk
///
/// cos is the cosine of the angle between the two neighbours; 1 + lambda cos counts as 0 if it is
/// not positive. Species affect only the cutoffs: all are summed in the same columns.
///
/// Throws Error for invalid settings.
std::unique_ptr<Descriptor> make_symmetry_functions(const SymmetryFunctionSettings& settings);

}  // namespace torchml
