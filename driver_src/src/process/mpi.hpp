#pragma once

#include <optional>

#include "process/launcher.hpp"

namespace torchml {

/// The number of processes that MPI has started, this one included. Empty in a driver built without
/// MPI, or if the program has not started MPI or uses another family of it. Each process may call
/// this alone.
std::optional<int> mpi_size();

/// MPI's own description of this process; valid only if mpi_size() is not empty. The first call in
/// a process is collective over MPI_COMM_WORLD: it returns when all processes have made it.
Launcher ask_mpi();

}  // namespace torchml
