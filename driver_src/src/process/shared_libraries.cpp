#include "process/shared_libraries.hpp"

#include <link.h>

namespace torchml {

std::vector<std::filesystem::path> shared_libraries() {
    std::vector<std::filesystem::path> paths;
    const auto note = [](dl_phdr_info* library, std::size_t, void* found) {
        static_cast<std::vector<std::filesystem::path>*>(found)->emplace_back(library->dlpi_name);
        return 0;
    };
    dl_iterate_phdr(note, &paths);
    return paths;
}

}  // namespace torchml
