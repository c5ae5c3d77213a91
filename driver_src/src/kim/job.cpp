#include "kim/job.hpp"

#include <cstdio>

#include "base/error.hpp"
#include "base/variables.hpp"
#include "process/forking.hpp"
#include "process/launcher.hpp"
#include "process/python_lock.hpp"
#include "process/running_lammps.hpp"
#include "process/started_mpi.hpp"

namespace torchml::kim {

namespace {

/// The default where the user has made no choice.
OnError usual() {
    return python_is_running() && !runs_lammps() ? OnError::give_back : OnError::abort;
}

}  // namespace

OnError on_error() {
    const char* name = "KIM_MODEL_ON_ERROR";
    const Environment environment = process_environment();
    if (!variable(environment, name)) return OnError::automatic;
    const auto chosen = choose_variable(
        environment, name, {{"abort", "end the whole job"}, {"return", "let the simulator react"}});
    return chosen == 0 ? OnError::abort : OnError::give_back;
}

void end_job_of_several_ranks(const std::string& message) {
    if (fork_generation() != 0) return;  // a child of a rank is not a rank
    OnError wanted = OnError::automatic;
    try {
        wanted = on_error();
    } catch (const Error&) {  // perhaps the failure to report
    }
    if (wanted == OnError::automatic) wanted = usual();
    if (wanted == OnError::give_back) return;
    const auto mpi = StartedMpi::find();
    if (!mpi) return;
    const int size = mpi->size();
    if (size < 2) return;
    std::fprintf(stderr,
                 "\nERROR on MPI rank %d of %d: %s\nThis ends the whole job, since the other ranks "
                 "might wait for this one for ever. If your program handles the error on each "
                 "rank, set KIM_MODEL_ON_ERROR=return.\n",
                 mpi->rank(), size, message.c_str());
    std::fflush(nullptr);  // everything that the program has printed, including its log
    mpi->abort();
}

}  // namespace torchml::kim
