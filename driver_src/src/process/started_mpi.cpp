#include "process/started_mpi.hpp"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "process/shared_libraries.hpp"

namespace torchml {

namespace {

constexpr int integer_world = 0x44000000;
constexpr std::uintptr_t standard_world = 0x101;

bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

}  // namespace

std::optional<StartedMpi> StartedMpi::find() {
    StartedMpi mpi;
    if (mpi.take(RTLD_DEFAULT)) return mpi;
    // Python opens its modules, and MPI with them, with local symbols.
    for (const auto& path : shared_libraries()) {
        if (!starts_with(path.filename(), "libmpi")) continue;
        void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
        if (library != nullptr && mpi.take(library)) return mpi;
    }
    return std::nullopt;
}

void StartedMpi::abort() const {
    if (family_ == Family::integers) {
        symbol<int (*)(int, int)>("MPI_Abort")(integer_world, 1);
    } else {
        symbol<int (*)(void*, int)>("MPI_Abort")(world_, 1);
    }
}

/// Uses a library's MPI if it exists, is running and belongs to a known family.
bool StartedMpi::take(void* library) {
    library_ = library;
    int started = 0, ended = 0;
    const auto is_started = symbol<int (*)(int*)>("MPI_Initialized");
    const auto is_ended = symbol<int (*)(int*)>("MPI_Finalized");
    const auto version = symbol<int (*)(char*, int*)>("MPI_Get_library_version");
    if (is_started == nullptr || is_ended == nullptr || version == nullptr) return false;
    for (const char* name : {"MPI_Comm_size", "MPI_Comm_rank", "MPI_Abort"}) {
        if (dlsym(library, name) == nullptr) return false;
    }
    is_started(&started);
    is_ended(&ended);
    if (!started || ended) return false;
    family_ = Family::pointers;
    world_ = dlsym(library, "ompi_mpi_comm_world");
    Dl_info place;
    if (dladdr(dlsym(library, "MPI_Abort"), &place) != 0 && place.dli_fname != nullptr &&
        starts_with(std::filesystem::path(place.dli_fname).filename(), "libmpi_abi")) {
        world_ = reinterpret_cast<void*>(standard_world);
        family_ = Family::standard_abi;
    }
    if (world_ != nullptr) return true;
    std::vector<char> text(1 << 14);  // the longest known is 8 KiB
    int length = 0;
    version(text.data(), &length);
    family_ = Family::integers;
    for (const char* name : {"MPICH", "MVAPICH", "Intel(R) MPI"}) {
        if (std::strstr(text.data(), name) != nullptr) return true;
    }
    return false;
}

int StartedMpi::ask(const char* function) const {
    int answer = 0;
    if (family_ == Family::integers) {
        symbol<int (*)(int, int*)>(function)(integer_world, &answer);
    } else {
        symbol<int (*)(void*, int*)>(function)(world_, &answer);
    }
    return answer;
}

}  // namespace torchml
