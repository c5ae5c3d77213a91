#include "process/running_lammps.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include "process/shared_libraries.hpp"

namespace torchml {

namespace {

bool is_lammps_program() {
    std::error_code none;
    const std::string program =
        std::filesystem::read_symlink("/proc/self/exe", none).filename().string();
    return program.rfind("lmp", 0) == 0 || program.rfind("lammps", 0) == 0;
}

}  // namespace

bool runs_lammps() {
    for (const auto& path : shared_libraries()) {
        if (path.filename().string().rfind("liblammps", 0) == 0) return true;
    }
    return is_lammps_program();
}

bool is_partitioned() {
    if (!is_lammps_program()) return false;
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    for (std::string argument; std::getline(file, argument, '\0');) {
        // Ranks of several simulations, or of several programs, then share MPI_COMM_WORLD.
        if (argument == "-partition" || argument == "-p" || argument == "-mpicolor" ||
            argument == "-m") {
            return true;
        }
    }
    return false;
}

bool is_lammps_on_all_ranks() { return is_lammps_program() && !is_partitioned(); }

}  // namespace torchml
