#include "runtime/load.hpp"

#include <system_error>

#include "base/error.hpp"
#include "runtime/compiled/aotinductor.hpp"
#include "runtime/torchscript/torchscript.hpp"
#include "runtime/type_names.hpp"

namespace torchml {

std::unique_ptr<Runtime> load_model(const std::filesystem::path& file, bool returns_forces,
                                    c10::Device device, std::optional<at::ScalarType> recorded,
                                    Warnings& warnings) {
    std::error_code problem;
    if (!std::filesystem::is_regular_file(file, problem)) {
        fail("model file ", file.string(), " does not exist. Copy it there.");
    }
    if (std::filesystem::file_size(file, problem) == 0) {
        fail("model file ", file.filename().string(), " is empty. Copy it again.");
    }
    if (file.extension() != ".pt2") {
        return load_torchscript(file, returns_forces, device, recorded, warnings);
    }
    auto compiled = load_aotinductor(file, returns_forces, device);
    if (recorded && *recorded != compiled->scalar_type()) {
        fail("the model in ", file.filename().string(), " was compiled for inputs of type ",
             type_name(compiled->scalar_type()), ", but its parameter file says 'precision ",
             type_name(*recorded), "'. Correct or remove that line, or compile the model again.");
    }
    return compiled;
}

}  // namespace torchml
