#pragma once

#include <optional>

#include "process/launcher.hpp"

namespace torchml {

/// The cores of a node that matter to the number of threads.
struct Cores {
    int online = 1;     ///< the machine's cores
    int available = 1;  ///< those that this node's processes may use (see available_cores)
    int allowed = 1;    ///< those that this process is bound to
};

/// The number of threads that a model may use.
struct Threads {
    int count = 0;         ///< 0: torch chooses
    bool by_user = false;  ///< the user set the number: no step uses fewer
};

/// Chooses the number of threads, in this order: KIM_MODEL_NUM_THREADS; torch's choice if
/// OMP_NUM_THREADS is set or there is no launcher; else this process's share of the node's cores,
/// but no more than it is bound to.
///
/// Throws Error unless KIM_MODEL_NUM_THREADS is a number from 1 to the machine's cores.
Threads choose_threads(const Environment& environment, const std::optional<Launcher>& launcher,
                       const Cores& cores);

/// The choice of choose_threads() for this process; a forked process that may have lost torch's
/// threads gets one thread. If torch chooses, its default; but in a program that uses torch itself,
/// and may have set the number, what torch would use now on the calling thread. Throws what
/// choose_threads() throws.
Threads process_threads();

/// Checks whether the program uses torch itself: a Python program may import it at any time. Call
/// this when a model is made; the check takes longer than a small model's step.
void look_for_torch_of_host();

}  // namespace torchml
