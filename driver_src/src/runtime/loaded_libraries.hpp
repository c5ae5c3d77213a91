#pragma once

#include "base/warnings.hpp"

namespace torchml {

/// Throws Error if this process computes with another series of torch than the one that the driver
/// was built for, or has loaded the libraries of two torches.
///
/// A process loads one library of a name, the first that is requested: by a Python that imports its
/// own torch, or by LD_PRELOAD.
void require_one_torch();

/// Throws Error if torch multiplies small matrices wrongly in this process, or if one OpenMP
/// library starts its threads and another counts them. Warns if another library replaces torch's
/// own linear algebra.
///
/// Symbols of shared libraries belong to the whole process: if a program is linked with a BLAS, or
/// has one preloaded, torch calls that instead of its own.
void check_linear_algebra(Warnings& warnings);

}  // namespace torchml
