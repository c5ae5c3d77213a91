#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace torchml {

/// Something from outside is at fault: a file, a model, a simulator. The message addresses the
/// user: what is wrong, where, and what to do next.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// This machine, its torch or its environment is at fault; the model may run elsewhere.
class ErrorHere : public Error {
  public:
    using Error::Error;
};

/// The caller requested a result that the model provides for no system; it provides others.
class NotDefined : public Error {
  public:
    using Error::Error;
};

/// The model raised an exception during evaluation.
class ModelError : public Error {
  public:
    using Error::Error;
};

/// Throws an Error (or another Kind) whose message is the concatenation of `parts`.
template <class Kind = Error, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    std::ostringstream message;
    (message << ... << parts);
    throw Kind(message.str());
}

}  // namespace torchml
