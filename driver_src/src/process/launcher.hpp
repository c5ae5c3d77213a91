#pragma once

#include <optional>
#include <string>

#include "base/variables.hpp"

namespace torchml {

/// This process among its siblings, as the program that started them describes it.
struct Launcher {
    std::string name;    ///< "Open MPI", "Slurm", ...
    int rank = 0;        ///< among all processes
    int local_rank = 0;  ///< among those on this node
    int local_size = 1;  ///< the number of processes on this node
    int size = 0;        ///< the number of all processes; 0 if unknown
};

/// The launcher that started this process: Open MPI, MPICH (and Intel MPI), MVAPICH, PALS, Flux or
/// Slurm; empty if there is none, or none that describes its processes.
std::optional<Launcher> find_launcher(const Environment& environment);

/// This process among its siblings: from the launcher's environment; or from MPI, if the driver was
/// built with it, the program uses it, and the launcher gives no number of processes or a different
/// one. All processes of the program must then call this, since MPI answers them together;
/// otherwise each may call it alone.
std::optional<Launcher> process_launcher();

}  // namespace torchml
