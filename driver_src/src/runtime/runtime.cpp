#include "runtime/runtime.hpp"

#include <system_error>

#include "engine/error.hpp"
#include "runtime/aotinductor.hpp"
#include "runtime/torchscript.hpp"

namespace torchml {

std::unique_ptr<Runtime> load_model(const std::filesystem::path& file, bool returns_forces,
                                    c10::Device device) {
    std::error_code problem;
    if (!std::filesystem::is_regular_file(file, problem)) {
        fail("model file ", file.string(), " is not there.");
    }
    if (std::filesystem::file_size(file, problem) == 0) {
        fail("model file ", file.filename().string(), " is empty.");
    }
    if (file.extension() == ".pt2") return load_aotinductor(file, returns_forces, device);
    return load_torchscript(file, returns_forces, device);
}

}  // namespace torchml
