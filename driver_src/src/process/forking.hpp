#pragma once

namespace torchml {

/// Whether a forked process that has not executed another program since may lack threads of its
/// parent: torch's threads do not survive a fork.
enum class LostThreads {
    none,      ///< not forked, or from a process with a single thread
    possible,  ///< forked before this library was loaded
    certain,   ///< there were other threads
};

LostThreads lost_threads();

/// The number of forks between the process that loaded this library and this one.
int fork_generation();

/// Throws Error if a model ran in the process from which this one was forked: OpenMP's threads are
/// gone, so a computation might wait for them for ever.
void require_not_forked_after_use();

/// Call this when a model is about to run.
void note_use();

}  // namespace torchml
