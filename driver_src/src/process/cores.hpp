#pragma once

#include <functional>
#include <optional>
#include <string>

namespace torchml {

/// Reads a whole file; empty if it cannot be read. Passed as a parameter, so that tests can supply
/// the files of any machine.
using FileReader = std::function<std::optional<std::string>(const std::string&)>;

/// The files of this machine.
FileReader machine_files();

/// The number of cores that this node's processes may use together. Of the cores `online`,
/// containers and Slurm allow a control group some (cpuset), or some time on them (a quota, rounded
/// up to whole cores); the groups that contain it limit it, too. Handles versions 1 and 2 of
/// control groups; files that cannot be read impose no limit.
int available_cores(int online, const FileReader& read);

}  // namespace torchml
