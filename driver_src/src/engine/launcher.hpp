#pragma once

#include <functional>
#include <optional>
#include <string>

namespace torchml {

/// Looks up an environment variable; nothing if it is not set or empty. A parameter, so that what
/// follows from an environment can be tested without being in it.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// The environment of this process.
Environment process_environment();

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

/// How many threads a model may use, or 0 to leave torch's own choice. In this order:
/// KIM_MODEL_NUM_THREADS; torch's choice if OMP_NUM_THREADS is set or there is no launcher; else
/// this process's share of the node's cores, at most those it is bound to.
///
/// `cores`: those that the node's processes may use together (see available_cores); `allowed`:
/// those that this process is bound to. Throws Error for a KIM_MODEL_NUM_THREADS that is no
/// positive number.
int choose_threads(const Environment& environment, const std::optional<Launcher>& launcher,
                   int cores, int allowed);

/// Applies choose_threads() to this process, once; a forked process that may have lost torch's
/// threads gets one.
void set_threads();

}  // namespace torchml
