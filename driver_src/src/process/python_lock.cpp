#include "process/python_lock.hpp"

#include <dlfcn.h>
#include <unistd.h>

namespace torchml {

namespace {

// Looked up in the running process: the driver must not depend on Python, which LAMMPS may lack.
struct PythonFunctions {
    int (*is_initialized)() = nullptr;
    void* (*current_state)() = nullptr;
    void* (*state_of_this_thread)() = nullptr;
    const unsigned long* version = nullptr;
    void* (*save_thread)() = nullptr;
    void (*restore_thread)(void*) = nullptr;

    PythonFunctions() {
        find(is_initialized, "Py_IsInitialized");
        find(current_state, "_PyThreadState_UncheckedGet");
        if (current_state == nullptr) find(current_state, "PyThreadState_GetUnchecked");
        find(state_of_this_thread, "PyGILState_GetThisThreadState");
        version = static_cast<const unsigned long*>(dlsym(RTLD_DEFAULT, "Py_Version"));
        find(save_thread, "PyEval_SaveThread");
        find(restore_thread, "PyEval_RestoreThread");
    }

    bool complete() const {
        return is_initialized != nullptr && current_state != nullptr &&
               state_of_this_thread != nullptr && save_thread != nullptr &&
               restore_thread != nullptr;
    }

    /// Whether this thread holds the lock. PyGILState_Check() returns true on every thread once a
    /// second interpreter exists.
    bool lock_is_held() const {
        const void* state = current_state();
        if (state == nullptr) return false;
        // Since 3.12, each thread has its own current state; before, there was a single one, that
        // of the thread that holds the lock.
        const bool of_this_thread = version != nullptr && *version >= 0x030c0000;
        return of_this_thread || state == state_of_this_thread();
    }

  private:
    template <class Function>
    static void find(Function& function, const char* name) {
        function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
    }
};

// Looked up each time, since a process can load Python after the driver.
PythonFunctions python() { return {}; }

}  // namespace

bool python_is_running() {
    const PythonFunctions functions = python();
    return functions.is_initialized != nullptr && functions.is_initialized() != 0;
}

PythonLockReleased::PythonLockReleased() {
    const PythonFunctions functions = python();
    if (functions.complete() && functions.is_initialized() && functions.lock_is_held()) {
        restore_ = functions.restore_thread;
        thread_state_ = functions.save_thread();
    }
}

PythonLockReleased::~PythonLockReleased() {
    if (thread_state_ == nullptr) return;
    try {
        restore_(thread_state_);
    } catch (...) {
        for (;;) pause();  // Python is ending; its later versions do the same
    }
}

}  // namespace torchml
