#include "process/launcher.hpp"

#include <algorithm>
#include <charconv>

#include "process/mpi.hpp"

namespace torchml {

namespace {

/// The number at the start of `text` (Slurm writes "4(x2)" for four tasks on each of two nodes).
std::optional<int> leading_number(const std::optional<std::string>& text) {
    if (!text) return std::nullopt;
    int value = 0;
    const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (problem != std::errc() || end == text->data() || value < 0) return std::nullopt;
    return value;
}

/// The variables that a launcher sets.
struct Names {
    const char* launcher;
    const char* rank;
    const char* local_rank;
    const char* local_size;
    const char* size;  // null if it sets none
};

// Variables that only launched processes have come first. Slurm sets most of its variables in batch
// scripts, too, where they say nothing about a program started from the script; only srun sets
// SLURM_STEP_...
constexpr Names known[] = {
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
     "OMPI_COMM_WORLD_SIZE"},
    {"MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE",
     "MV2_COMM_WORLD_SIZE"},
    {"PALS", "PALS_RANKID", "PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE", nullptr},
    {"MPICH", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "PMI_SIZE"},
    {"Slurm", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE", "SLURM_STEP_NUM_TASKS"},
};

/// Flux sets the numbers of tasks and nodes, and spreads tasks evenly.
std::optional<Launcher> find_flux(const Environment& environment) {
    const auto rank = leading_number(environment("FLUX_TASK_RANK"));
    const auto local_rank = leading_number(environment("FLUX_TASK_LOCAL_ID"));
    const auto size = leading_number(environment("FLUX_JOB_SIZE"));
    const auto nodes = leading_number(environment("FLUX_JOB_NNODES"));
    if (!rank || !local_rank || !size || !nodes || *nodes == 0) return std::nullopt;
    return Launcher{"Flux", *rank, *local_rank, std::max(1, *size / *nodes + (*size % *nodes != 0)),
                    *size};
}

}  // namespace

std::optional<Launcher> find_launcher(const Environment& environment) {
    for (const Names& names : known) {
        const auto local_rank = leading_number(environment(names.local_rank));
        const auto local_size = leading_number(environment(names.local_size));
        if (!local_rank || !local_size || *local_size == 0) continue;
        const int rank = leading_number(environment(names.rank)).value_or(*local_rank);
        const auto size =
            names.size == nullptr ? std::nullopt : leading_number(environment(names.size));
        return Launcher{names.launcher, rank, *local_rank, *local_size, size.value_or(0)};
    }
    return find_flux(environment);
}

std::optional<Launcher> process_launcher() {
    const auto launched = find_launcher(process_environment());
    const auto size = mpi_size();
    if (!size) return launched;
    // The number of processes shows whether the launcher describes this program, or the shell or
    // script that started it. It is the same on all ranks, so they all decide alike.
    if (launched && launched->size == *size) return launched;
    return ask_mpi();
}

}  // namespace torchml
