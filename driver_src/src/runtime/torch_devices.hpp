#pragma once

#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "process/device_choice.hpp"

namespace torchml {

/// Counts the devices of a type that torch sees in this process. Opens torch's library for that
/// type if the process has not loaded it yet: the driver itself links none of them.
DeviceCount count_devices(const std::string& type);

/// The device on which a model computes: `wanted` if given, else what KIM_MODEL_EXECUTION_DEVICE
/// says, else the CPU. Tries the device out before it returns. Throws what choose_device throws,
/// and Error if the device does not work.
c10::Device execution_device(const std::optional<std::string>& wanted);

}  // namespace torchml
