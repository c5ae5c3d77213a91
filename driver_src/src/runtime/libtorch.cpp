#include "runtime/libtorch.hpp"

#include <ATen/Version.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>

#include <system_error>

// CMake has checked this, but the variables may have changed since. Either of torch's two folders
// of headers may belong to another torch.
#define TORCHML_IS_OF_ANOTHER_TORCH \
    (TORCH_VERSION_MAJOR != TORCHML_LIBTORCH_MAJOR || TORCH_VERSION_MINOR != TORCHML_LIBTORCH_MINOR)
#include <torch/csrc/api/include/torch/version.h>
#if TORCHML_IS_OF_ANOTHER_TORCH
#error \
    "torchml: CPATH, CPLUS_INCLUDE_PATH or CXXFLAGS leads to the headers of another torch: unset it."
#endif
#include <torch/version.h>
#if TORCHML_IS_OF_ANOTHER_TORCH
#error \
    "torchml: CPATH, CPLUS_INCLUDE_PATH or CXXFLAGS leads to the headers of another torch: unset it."
#endif

namespace torchml {

std::string torch_version() {
    const std::string config = at::show_config();
    const std::string key = "TORCH_VERSION=";
    const auto found = config.find(key);
    if (found == std::string::npos) return TORCHML_LIBTORCH_VERSION;
    const auto start = found + key.size();
    return config.substr(start, config.find_first_not_of("0123456789.", start) - start);
}

std::string series(const std::string& version) {
    const auto dot = version.find('.');
    return version.substr(0, dot == std::string::npos ? dot : version.find('.', dot + 1));
}

std::filesystem::path torch_folder() {
    Dl_info found{};
    const auto* function = reinterpret_cast<void*>(&c10::impl::device_guard_impl_registry);
    if (dladdr(function, &found) == 0 || found.dli_fname == nullptr) return {};
    return std::filesystem::path(found.dli_fname).parent_path();
}

std::string open_libtorch() {
    const auto file = torch_folder() / "libtorch.so";
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) return "there is no " + file.string();
    if (dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return "";
    const char* message = dlerror();
    return message != nullptr ? message : file.string();
}

}  // namespace torchml
