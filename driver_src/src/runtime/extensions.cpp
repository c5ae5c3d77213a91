#include "runtime/extensions.hpp"

#include <dlfcn.h>

#include <filesystem>
#include <sstream>
#include <system_error>

#include "base/error.hpp"
#include "base/text_stream.hpp"
#include "base/variables.hpp"
#include "runtime/libtorch.hpp"

// Paths that the build found; empty without them.
#ifndef TORCHML_TORCHSCATTER_LIBRARY
#define TORCHML_TORCHSCATTER_LIBRARY ""
#endif
#ifndef TORCHML_TORCHSPARSE_LIBRARY
#define TORCHML_TORCHSPARSE_LIBRARY ""
#endif

namespace torchml {

namespace {

/// What to do if a library is a Python extension, which needs Python's symbols and torch's Python
/// library; only a Python process has these anyway.
const char* advice(const std::string& problem) {
    const bool wants_python = problem.find("undefined symbol: Py") != std::string::npos ||
                              problem.find("undefined symbol: _Py") != std::string::npos ||
                              problem.find("libtorch_python") != std::string::npos;
    return wants_python
               ? " It is a Python extension: outside Python, list libpython3.*.so.1.0 and torch's "
                 "libtorch_python.so before it in KIM_MODEL_TORCH_EXTENSIONS, or build the library "
                 "without Python (-DWITH_PYTHON=OFF)."
               : " Install it again for this torch, or unset the variable.";
}

void open_library(const std::string& path, const std::string& wanted_by) {
    std::error_code ignored;
    if (path.find('/') != std::string::npos && !std::filesystem::exists(path, ignored)) {
        fail<ErrorHere>(wanted_by, " ", path,
                        ", which does not exist. Install it there, or unset the variable.");
    }
    // If torch is a single library or has another name, there is nothing to open. If it cannot be
    // opened, the loader's message about the extension says so, too.
    open_libtorch();
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
        const char* message = dlerror();
        const std::string problem = message != nullptr ? message : "no reason given";
        fail<ErrorHere>(wanted_by, " ", path, ", which cannot be opened (", problem, ").",
                        advice(problem));
    }
}

}  // namespace

OperatorSource operator_source() {
    const auto chosen =
        choose_variable(process_environment(), "KIM_MODEL_OPERATORS",
                        {{"native", "the default: the driver's own operators"},
                         {"extension",
                          "those of the torch_scatter and torch_sparse that the driver was built "
                          "with"}});
    return chosen == 0 ? OperatorSource::native : OperatorSource::extension;
}

void open_listed_extensions() {
    TextStream paths(variable(process_environment(), "KIM_MODEL_TORCH_EXTENSIONS").value_or(""));
    std::string path;
    while (std::getline(paths, path, ':')) {
        if (!path.empty()) {
            open_library(path, "the environment variable KIM_MODEL_TORCH_EXTENSIONS lists");
        }
    }
}

void open_original_library(const std::string& name) {
    const bool scatter = name == "torch_scatter";
    const std::string path = scatter ? TORCHML_TORCHSCATTER_LIBRARY : TORCHML_TORCHSPARSE_LIBRARY;
    if (path.empty()) {
        fail<ErrorHere>(
            "KIM_MODEL_OPERATORS is 'extension' and the model calls ", name,
            ", but this driver was built without it. Build it again with the environment variable ",
            scatter ? "TorchScatter_ROOT" : "TorchSparse_ROOT", " set to an installation of ", name,
            " for C++, list its library in KIM_MODEL_TORCH_EXTENSIONS, or unset "
            "KIM_MODEL_OPERATORS.");
    }
    open_library(path, "KIM_MODEL_OPERATORS is 'extension' and the driver was built with");
}

}  // namespace torchml
