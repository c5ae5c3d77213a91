#pragma once

#include <filesystem>
#include <vector>

namespace torchml {

/// The shared libraries that this process has loaded, in the loader's order. The program itself may
/// be among them under an empty path.
std::vector<std::filesystem::path> shared_libraries();

}  // namespace torchml
