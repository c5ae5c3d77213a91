#pragma once

namespace torchml {

/// Whether the process has Python, and Python has started.
bool python_is_running();

/// Releases Python's global lock during its lifetime. Torch refuses to run a backward pass under
/// the lock, and kimpy holds it during a compute.
///
/// If Python ends meanwhile, the thread waits for the end of the process: Python up to 3.13 ends a
/// thread that requests the lock by unwinding its stack, and destructors (pybind11's, too) then end
/// the process with a signal.
class PythonLockReleased {
  public:
    /// Releases the lock if the process has Python and this thread holds it.
    PythonLockReleased();
    /// For a lock that was just released. `thread_state`: the result of PyEval_SaveThread.
    /// `restore`: PyEval_RestoreThread.
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
