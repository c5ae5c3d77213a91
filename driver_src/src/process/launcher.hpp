#pragma once

#include <optional>
#include <string>

#include "base/variables.hpp"

namespace torchml {

/// What the program that started this process says about it and its siblings.
struct Launcher {
    std::string name;    ///< "Open MPI", "Slurm", ...
    int rank = 0;        ///< among all processes
    int local_rank = 0;  ///< among those on this node
    int local_size = 1;  ///< how many there are on this node
    int size = 0;        ///< how many there are in all; 0 if that is not told
};

/// The launcher that started this process: Open MPI, MPICH (and Intel MPI), MVAPICH, PALS, Flux or
/// Slurm; nothing if there is none, or none that tells.
std::optional<Launcher> find_launcher(const Environment& environment);

/// What is known of this process and its siblings: from the launcher's environment; or from MPI, if
/// the driver was built with it, the program uses it, and the launcher says nothing or something
/// else about the number of processes. All processes of the program then have to come here, for
/// MPI answers them together; where the launcher tells, each may come alone.
std::optional<Launcher> process_launcher();

}  // namespace torchml
