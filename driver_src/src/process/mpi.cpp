#include "process/mpi.hpp"

#ifdef TORCHML_MPI
#include <mpi.h>

#include <string>
#endif

namespace torchml {

#ifdef TORCHML_MPI
namespace {

/// Whether the MPI in this process belongs to the family whose mpi.h the driver was compiled with.
/// Families share the names of functions, but not the value of MPI_COMM_WORLD, which another family
/// cannot use. Every MPI answers this one question, at any time.
bool is_our_family() {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
    int length = 0;
    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return false;
    const bool open_mpi = std::string(text).find("Open MPI") != std::string::npos;
#ifdef OPEN_MPI
    return open_mpi;
#else
    return !open_mpi;
#endif
}

}  // namespace
#endif

std::optional<int> mpi_size() {
#ifdef TORCHML_MPI
    if (!is_our_family()) return std::nullopt;
    int started = 0, ended = 0;
    MPI_Initialized(&started);
    MPI_Finalized(&ended);
    if (!started || ended) return std::nullopt;
    int size = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
#else
    return std::nullopt;
#endif
}

Launcher ask_mpi() {
#ifdef TORCHML_MPI
    static const Launcher found = [] {
        Launcher launcher;
        launcher.name = "MPI";
        MPI_Comm_size(MPI_COMM_WORLD, &launcher.size);
        MPI_Comm_rank(MPI_COMM_WORLD, &launcher.rank);
        MPI_Comm node = MPI_COMM_NULL;
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, launcher.rank, MPI_INFO_NULL,
                            &node);
        MPI_Comm_rank(node, &launcher.local_rank);
        MPI_Comm_size(node, &launcher.local_size);
        MPI_Comm_free(&node);
        return launcher;
    }();
    return found;
#else
    return {};
#endif
}

}  // namespace torchml
