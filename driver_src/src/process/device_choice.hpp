#pragma once

#include <functional>
#include <optional>
#include <string>

#include "process/launcher.hpp"

namespace torchml {

/// Where a model computes.
struct Device {
    std::string type = "cpu";  ///< as torch names it
    int index = 0;             ///< among the devices of that type which this process sees

    std::string name() const { return type == "cpu" ? type : type + ":" + std::to_string(index); }
};

/// The number of devices of a type that this process sees; if none, the reason, a sentence without
/// its full stop.
struct DeviceCount {
    int count = 0;
    std::string why_none;
};

/// Counts the devices of a type ("cuda", "mps" or "xpu").
using DeviceCounter = std::function<DeviceCount(const std::string&)>;

/// The device that `wanted` means: "cpu" (also if it is empty), "cuda", "cuda:N", and so on.
/// Without a number, the ranks of a node take its n devices in turn: the node's rank m takes device
/// m mod n. A pure function of its arguments.
///
/// `source`: where `wanted` comes from, for messages. Throws ErrorHere for a device that is unknown
/// or absent.
Device choose_device(const std::optional<std::string>& wanted, const std::string& source,
                     const std::optional<Launcher>& launcher, const Environment& environment,
                     const DeviceCounter& devices);

}  // namespace torchml
