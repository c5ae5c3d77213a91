#pragma once

namespace torchml {

/// Whether a process that was forked, and has not become another program since, may lack threads of
/// the one it was forked from: torch's threads do not survive a fork.
enum class LostThreads {
    none,      ///< not forked, or from a process with a single thread
    possible,  ///< forked before this library was loaded
    certain,   ///< there were other threads
};

LostThreads lost_threads();

/// How many forks are between this process and the one that loaded this library.
int fork_generation();

/// Throws Error if a model was run in the process from which this one was forked: OpenMP's threads
/// are gone and so is whoever would wake this one, so that a computation might wait for ever.
void require_not_forked_after_use();

/// To be called when a model is about to run.
void note_use();

}  // namespace torchml
