#pragma once

#include <optional>

#include "process/launcher.hpp"

namespace torchml {

/// How many processes MPI has started, this one included: nothing in a driver built without MPI, or
/// where the program has not started MPI or uses another family of it. Each process may ask alone.
std::optional<int> mpi_size();

/// MPI's own description of this process; only where there is an mpi_size(). The first call in a
/// process is collective over MPI_COMM_WORLD: it returns when all processes have made it.
Launcher ask_mpi();

}  // namespace torchml
