#include "process/host_state.hpp"

#include <ATen/Parallel.h>
#include <c10/core/DispatchKeySet.h>

#include "process/workers.hpp"

// OpenMP's functions as libtorch finds them: in the program if it has them, else in the library
// that came with libtorch. Weak, for a libtorch without OpenMP. The compiler's own OpenMP is not
// used, since it might come from another library.
extern "C" {
int omp_get_max_threads() __attribute__((weak));
void omp_set_num_threads(int) __attribute__((weak));
}

namespace torchml {

namespace {

bool has_openmp() { return omp_get_max_threads != nullptr && omp_set_num_threads != nullptr; }

/// The environment of a thread that works for torch: OpenMP's threads inherit the traps of the
/// thread that created them.
thread_local std::fenv_t floating_point_of_worker;

}  // namespace

HostState::HostState()
    : openmp_threads_(has_openmp() ? omp_get_max_threads() : 0),
      traps_(fegetexcept() != 0),
      no_autocast_(c10::autocast_dispatch_keyset) {
    std::feholdexcept(&floating_point_);
    // The first call on a thread makes torch set that thread's number.
    at::get_num_threads();
}

HostState::~HostState() {
    if (workers_held_) {
        try {
            Workers::each([] { std::fesetenv(&floating_point_of_worker); });
        } catch (...) {  // out of memory: the traps of these threads stay off
        }
    }
    if (openmp_threads_ != 0) omp_set_num_threads(openmp_threads_);
    std::fesetenv(&floating_point_);
}

void HostState::use_threads(int count) {
    // Not at::set_num_threads(): it also sets the number for torch and MKL on other threads, which
    // may be the program's.
    if (openmp_threads_ != 0) {
        omp_set_num_threads(count);
    } else if (count != at::get_num_threads()) {
        at::set_num_threads(count);
    }
    if (traps_ && !workers_held_) {
        Workers::each([] { std::feholdexcept(&floating_point_of_worker); });
        workers_held_ = true;
    }
}

}  // namespace torchml
