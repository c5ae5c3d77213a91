#pragma once

namespace torchml {

/// Whether the process has Python, and Python has started.
bool python_is_running();

/// Gives up Python's global lock while it lives. Torch refuses to run a backward pass under it, and
/// kimpy holds it during a compute.
///
/// Should Python end meanwhile, the thread waits for the end of the process: Python up to 3.13 ends
/// a thread that wants the lock back by unwinding its stack, and destructors (pybind11's, too) turn
/// that into the end of the process by a signal.
class PythonLockReleased {
  public:
    /// Gives the lock up if the process has Python and this thread holds it.
    PythonLockReleased();
    /// For a lock just given up. `thread_state`: the result of PyEval_SaveThread. `restore`:
    /// PyEval_RestoreThread.
    PythonLockReleased(void* thread_state, void (*restore)(void* thread_state))
        : thread_state_(thread_state), restore_(restore) {}
    ~PythonLockReleased();
    PythonLockReleased(const PythonLockReleased&) = delete;
    PythonLockReleased& operator=(const PythonLockReleased&) = delete;

  private:
    void* thread_state_ = nullptr;
    void (*restore_)(void* thread_state) = nullptr;
};

}  // namespace torchml
