#pragma once

#include <exception>
#include <string>

namespace torchml {

/// The one line of a torch message that says what happened; no full stop is added. Torch adds
/// its own call stack and advice to those who build it, and the interpreter puts the model's
/// traceback first and the error itself last. None of these is for users: whatever torch throws
/// goes through here before it leaves the driver or the Python module.
std::string essence(const std::exception& problem);

}  // namespace torchml
