#include "kim/job.hpp"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/error.hpp"
#include "base/variables.hpp"
#include "process/forking.hpp"
#include "process/launcher.hpp"
#include "process/python_lock.hpp"
#include "process/shared_libraries.hpp"

namespace torchml::kim {

namespace {

bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

/// Whether LAMMPS runs in this process, as a library of any program or as the program itself.
bool runs_lammps() {
    for (const auto& path : shared_libraries()) {
        if (starts_with(path.filename(), "liblammps")) return true;
    }
    std::error_code none;
    const std::string program =
        std::filesystem::read_symlink("/proc/self/exe", none).filename().string();
    return starts_with(program, "lmp") || starts_with(program, "lammps");
}

/// The MPI that this process has started. Looked up in the running process: the driver may be built
/// without MPI, or for another MPI than the program's.
class StartedMpi {
  public:
    StartedMpi() {
        if (take(RTLD_DEFAULT)) return;
        // Python opens its modules, and MPI with them, with local symbols.
        for (const auto& path : shared_libraries()) {
            if (!starts_with(path.filename(), "libmpi")) continue;
            void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
            if (library != nullptr && take(library)) return;
        }
    }

    /// Whether an MPI was found whose MPI_COMM_WORLD is known.
    bool found() const { return family_ != Family::none; }

    int size() const { return ask("MPI_Comm_size"); }
    int rank() const { return ask("MPI_Comm_rank"); }

    /// Does not return if MPI follows its standard.
    void abort() const {
        if (family_ == Family::pointers) {
            find<int (*)(void*, int)>("MPI_Abort")(world_, 1);
        } else {
            find<int (*)(int, int)>("MPI_Abort")(integer_world, 1);
        }
    }

  private:
    // Families share the names of functions, but not the type of a communicator.
    enum class Family {
        none,
        pointers,  // communicators are pointers: Open MPI, and the ABI of the standard's version 5
        integers,  // MPICH, Intel MPI, MVAPICH, Cray: they share an ABI
    };
    static constexpr int integer_world = 0x44000000;
    static constexpr std::uintptr_t standard_world = 0x101;

    template <class Function>
    Function find(const char* name) const {
        return reinterpret_cast<Function>(dlsym(library_, name));
    }

    /// Uses a library's MPI if it exists, is running and belongs to a known family.
    bool take(void* library) {
        library_ = library;
        int started = 0, ended = 0;
        const auto is_started = find<int (*)(int*)>("MPI_Initialized");
        const auto is_ended = find<int (*)(int*)>("MPI_Finalized");
        const auto version = find<int (*)(char*, int*)>("MPI_Get_library_version");
        if (is_started == nullptr || is_ended == nullptr || version == nullptr) return false;
        for (const char* name : {"MPI_Comm_size", "MPI_Comm_rank", "MPI_Abort"}) {
            if (dlsym(library, name) == nullptr) return false;
        }
        is_started(&started);
        is_ended(&ended);
        if (!started || ended) return false;
        world_ = dlsym(library, "ompi_mpi_comm_world");
        Dl_info place;
        if (dladdr(dlsym(library, "MPI_Abort"), &place) != 0 && place.dli_fname != nullptr &&
            starts_with(std::filesystem::path(place.dli_fname).filename(), "libmpi_abi")) {
            world_ = reinterpret_cast<void*>(standard_world);
        }
        if (world_ != nullptr) {
            family_ = Family::pointers;
            return true;
        }
        std::vector<char> text(1 << 14);  // the longest known is 8 KiB
        int length = 0;
        version(text.data(), &length);
        for (const char* name : {"MPICH", "MVAPICH", "Intel(R) MPI"}) {
            if (std::strstr(text.data(), name) != nullptr) family_ = Family::integers;
        }
        return found();
    }

    int ask(const char* function) const {
        int answer = 0;
        if (family_ == Family::pointers) {
            find<int (*)(void*, int*)>(function)(world_, &answer);
        } else {
            find<int (*)(int, int*)>(function)(integer_world, &answer);
        }
        return answer;
    }

    void* library_ = nullptr;
    void* world_ = nullptr;
    Family family_ = Family::none;
};

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
    const StartedMpi mpi;
    if (!mpi.found()) return;
    const int size = mpi.size();
    if (size < 2) return;
    std::fprintf(stderr,
                 "\nERROR on MPI rank %d of %d: %s\nThis ends the whole job, since the other ranks "
                 "might wait for this one for ever. If your program handles the error on each "
                 "rank, set KIM_MODEL_ON_ERROR=return.\n",
                 mpi.rank(), size, message.c_str());
    std::fflush(nullptr);  // everything that the program has printed, including its log
    mpi.abort();
}

}  // namespace torchml::kim
