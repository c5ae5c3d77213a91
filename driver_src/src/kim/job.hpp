#pragma once

#include <string>

namespace torchml::kim {

/// What happens to the other MPI ranks of a program when a routine fails on this one.
enum class OnError {
    automatic,  ///< KIM_MODEL_ON_ERROR is not set: depends on the program
    abort,      ///< end all ranks
    give_back,  ///< "return": only return KIM's error code, for a program that handles it
};

/// Reads KIM_MODEL_ON_ERROR. Throws Error for an unknown value.
OnError on_error();

/// Call this when a routine has failed, before it returns KIM's error code. If this process is one
/// of several MPI ranks, prints the message and ends the whole job with MPI_Abort; otherwise
/// returns.
///
/// KIM reports the failure to the simulator on this rank alone. LAMMPS then waits to report it
/// together with all other ranks, which wait for forces, for ever. By default, a Python program
/// that does not run LAMMPS continues, since it may catch the error.
void end_job_of_several_ranks(const std::string& message);

}  // namespace torchml::kim
