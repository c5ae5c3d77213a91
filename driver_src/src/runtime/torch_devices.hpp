#pragma once

#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "process/device_choice.hpp"

namespace torchml {

/// The devices of a type that torch sees in this process. Opens torch's library for that type if
/// it is not in the process yet: the driver itself links none of them.
DeviceCount count_devices(const std::string& type);

/// Where a model computes: `wanted` if it is given, else what KIM_MODEL_EXECUTION_DEVICE says, else
/// the CPU. The device has answered when this returns. Throws Error as choose_device, and if the
/// device does not work.
c10::Device execution_device(const std::optional<std::string>& wanted);

}  // namespace torchml
