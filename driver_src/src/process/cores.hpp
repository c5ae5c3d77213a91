#pragma once

#include <functional>
#include <optional>
#include <string>

namespace torchml {

/// Reads a whole file; nothing if it cannot be read. A parameter, so that what follows from a
/// machine's files can be tested on any other.
using FileReader = std::function<std::optional<std::string>(const std::string&)>;

/// The files of this machine.
FileReader machine_files();

/// How many cores the processes of this node may use together. Of those `online`, containers and
/// Slurm allow a control group some (cpuset) or some time on them (a quota, rounded up to whole
/// cores); the groups that it is in limit it, too. Versions 1 and 2 of control groups; what cannot
/// be read does not limit.
int available_cores(int online, const FileReader& read);

}  // namespace torchml
