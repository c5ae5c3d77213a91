#pragma once

#include "base/warnings.hpp"

namespace torchml {

/// Throws Error if this process computes with another series of torch than the one that the driver
/// was built for, or has the libraries of two torches.
///
/// A process has one library of a name. Whoever comes first brings it: a Python that has imported
/// its own torch, or LD_PRELOAD.
void require_one_torch();

/// Throws Error if torch multiplies small matrices wrongly in this process, or if its threads would
/// be counted by another library than the one that starts them. Warns where somebody else's library
/// takes the place of torch's own linear algebra.
///
/// Names in shared libraries belong to the process: where a program is linked with a BLAS, or has
/// one preloaded, torch calls that instead of the one that it carries.
void check_linear_algebra(Warnings& warnings);

}  // namespace torchml
