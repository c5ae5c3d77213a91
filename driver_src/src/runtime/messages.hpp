#pragma once

#include <exception>
#include <string>

namespace torchml {

/// The one line of a torch message that says what happened, without a final full stop. Torch adds
/// its own call stack and advice to its developers, and the interpreter puts the model's traceback
/// first and the error itself last. Users need neither: every exception of torch's passes through
/// here before it leaves the driver or the Python module.
std::string essence(const std::exception& problem);

/// A text with a full stop, unless it already ends like a sentence.
std::string sentence(std::string text);

}  // namespace torchml
