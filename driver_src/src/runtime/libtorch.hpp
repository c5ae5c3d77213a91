#pragma once

#include <filesystem>
#include <string>

namespace torchml {

/// The version of the torch in this process, which may be another than the one the driver was built
/// for: a Python process has imported its own.
std::string torch_version();

/// 2.13 of 2.13.0: code that was compiled for one of these runs with all of them.
std::string series(const std::string& version);

/// The folder of the libtorch that this process uses.
std::filesystem::path torch_folder();

/// The torch that the driver was built for: "torch 2.13.0 in /folder", without a folder if it may
/// be anywhere.
std::string torch_built_for();

/// Opens libtorch.so of that folder, an empty library that needs all the others: libraries made for
/// torch may need it by that name, for which the loader may otherwise find another torch's. Two
/// torches in a process end it. Returns what is in the way, or nothing.
std::string open_libtorch();

}  // namespace torchml
