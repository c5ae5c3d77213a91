#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace torchml {

/// A fault in what comes from outside: files, models, simulators. The message is for the person at
/// the terminal: what is wrong, where, and what to do next.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A fault of this machine, this torch or the environment. The model may run elsewhere.
class ErrorHere : public Error {
  public:
    using Error::Error;
};

/// A result that a model does not provide for any system; it provides others.
class NotDefined : public Error {
  public:
    using Error::Error;
};

/// An exception that the model raised when it was evaluated.
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
