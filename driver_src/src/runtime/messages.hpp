#pragma once

#include <exception>
#include <string>

namespace torchml {

/// The one line of a torch message that says what happened. Torch adds its own call stack, and the
/// interpreter puts the model's traceback first and the error itself last.
std::string essence(const std::exception& problem);

}  // namespace torchml
