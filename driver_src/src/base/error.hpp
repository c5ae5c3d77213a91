#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace torchml {

/// Whatever goes wrong with what comes from outside: files, models, simulators. The message is for
/// the person at the terminal: what was wrong, where, and what to do next.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// What is wrong is this machine, this torch or its environment, and not the model: it may well run
/// elsewhere.
class ErrorHere : public Error {
  public:
    using Error::Error;
};

/// What a model does not compute at all, whatever the system is; its other results can be had.
class NotDefined : public Error {
  public:
    using Error::Error;
};

/// What a model itself raised while it was evaluated.
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
