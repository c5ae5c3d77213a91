#pragma once

#include <filesystem>
#include <string>

namespace torchml {

/// The version of the torch in this process, which may differ from the one that the driver was
/// built for: a Python process has imported its own.
std::string torch_version();

/// The series of a version, such as 2.13 for 2.13.0: code compiled for one release runs with all
/// releases of its series.
std::string series(const std::string& version);

/// The folder of the libtorch that this process uses.
std::filesystem::path torch_folder();

/// The torch that the driver was built for: "torch 2.13.0 in /folder", or without a folder if the
/// package can be moved.
std::string torch_built_for();

/// Opens libtorch.so in torch_folder(), an empty library that depends on all the others: libraries
/// built for torch may depend on it by name, and the loader might otherwise find another torch's.
/// Two torches in one process crash it. Returns why it cannot be opened, or "".
std::string open_libtorch();

}  // namespace torchml
