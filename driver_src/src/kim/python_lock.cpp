#include "kim/python_lock.hpp"

#include <dlfcn.h>
#include <unistd.h>

namespace torchml::kim {

namespace {

// Looked up in the running process: the driver must not need Python, which LAMMPS does not have.
struct PythonFunctions {
    int (*is_initialized)() = nullptr;
    int (*holds_lock)() = nullptr;
    void* (*save_thread)() = nullptr;
    void (*restore_thread)(void*) = nullptr;

    PythonFunctions() {
        find(is_initialized, "Py_IsInitialized");
        find(holds_lock, "PyGILState_Check");
        find(save_thread, "PyEval_SaveThread");
        find(restore_thread, "PyEval_RestoreThread");
    }

    bool complete() const {
        return is_initialized != nullptr && holds_lock != nullptr && save_thread != nullptr &&
               restore_thread != nullptr;
    }

  private:
    template <class Function>
    static void find(Function& function, const char* name) {
        function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
    }
};

// Looked up anew each time a lock may be held: Python can come into a process later than we.
PythonFunctions python() { return {}; }

}  // namespace

PythonLockReleased::PythonLockReleased() {
    const PythonFunctions functions = python();
    if (functions.complete() && functions.is_initialized() && functions.holds_lock()) {
        thread_state_ = functions.save_thread();
    }
}

PythonLockReleased::~PythonLockReleased() {
    if (thread_state_ == nullptr) return;
    try {
        python().restore_thread(thread_state_);
    } catch (...) {
        // Python is ending, and up to 3.13 ends threads that want its lock by unwinding their
        // stacks: through destructors, which terminates the process. As later versions do, wait for
        // the end.
        for (;;) pause();
    }
}

}  // namespace torchml::kim
