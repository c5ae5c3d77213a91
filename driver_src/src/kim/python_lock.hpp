#pragma once

namespace torchml::kim {

/// Whether the process has Python, and Python has started.
bool python_is_running();

/// Gives up Python's global lock while it lives, if the process has Python and this thread holds
/// the lock. Torch refuses to run a backward pass under it, and kimpy holds it during a compute.
class PythonLockReleased {
  public:
    PythonLockReleased();
    ~PythonLockReleased();
    PythonLockReleased(const PythonLockReleased&) = delete;
    PythonLockReleased& operator=(const PythonLockReleased&) = delete;

  private:
    void* thread_state_ = nullptr;
};

}  // namespace torchml::kim
