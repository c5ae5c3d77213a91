#pragma once

#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cfenv>

namespace torchml {

/// Gives torch the state that it needs on this thread, and restores the program's afterwards.
///
/// Torch and the libraries under it change state that belongs to the program: the number of OpenMP
/// threads, by which programs size and index their arrays (LAMMPS's OPENMP package does), and the
/// floating-point environment, which a library compiled with -ffast-math sets when it is loaded.
/// Conversely, the program's settings would change what a model computes: traps for floating-point
/// exceptions end the process where torch divides by zero on purpose, and a Python program may be
/// in torch's autocast or inference mode.
///
/// Code that loads, runs or destroys a model holds a HostState.
class HostState {
  public:
    HostState();
    ~HostState();
    HostState(const HostState&) = delete;
    HostState& operator=(const HostState&) = delete;

    /// Makes torch use `count` threads for calls from this thread, until this object is destroyed.
    void use_threads(int count);

  private:
    std::fenv_t floating_point_;
    int openmp_threads_;  // 0: torch has no OpenMP
    bool traps_;          // the program has turned floating-point traps on
    bool workers_held_ = false;
    c10::InferenceMode no_inference_mode_{false};
    c10::impl::ExcludeDispatchKeyGuard no_autocast_;
};

}  // namespace torchml
