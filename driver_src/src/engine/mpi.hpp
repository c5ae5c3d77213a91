#pragma once

#include <optional>

#include "engine/launcher.hpp"

namespace torchml {

/// What MPI itself says about this process: nothing in a driver built without MPI, or where the
/// program has not started MPI or uses another family of it. The first call in a process is
/// collective over MPI_COMM_WORLD.
std::optional<Launcher> find_mpi();

}  // namespace torchml
