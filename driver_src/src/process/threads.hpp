#pragma once

#include <optional>

#include "process/launcher.hpp"

namespace torchml {

/// The cores of a node that matter to the number of threads.
struct Cores {
    int online = 1;     ///< that the machine has
    int available = 1;  ///< that the processes of this node may use together (see available_cores)
    int allowed = 1;    ///< that this process is bound to
};

/// How many threads a model may use.
struct Threads {
    int count = 0;         ///< 0: as many as torch chooses
    bool by_user = false;  ///< the user named the number: no step uses fewer
};

/// Chooses the number of threads, in this order: KIM_MODEL_NUM_THREADS; torch's choice if
/// OMP_NUM_THREADS is set or there is no launcher; else this process's share of the node's cores,
/// at most those it is bound to.
///
/// Throws Error for a KIM_MODEL_NUM_THREADS that is not a number from 1 to the machine's cores.
Threads choose_threads(const Environment& environment, const std::optional<Launcher>& launcher,
                       const Cores& cores);

/// The choice of choose_threads() for this process; a forked process that may have lost torch's
/// threads gets one. Where torch has the choice, its default; or, in a program that uses torch
/// itself and may have set the number, what it would use now on the calling thread. Throws as
/// choose_threads().
Threads process_threads();

/// Looks whether the program uses torch itself: a Python program may import it at any time. To be
/// called when a model is made; looking takes longer than a small model's step.
void look_for_torch_of_host();

}  // namespace torchml
