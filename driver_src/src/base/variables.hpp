#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>

namespace torchml {

/// Looks up an environment variable; nothing if it is not set. A parameter, so that what
/// follows from an environment can be tested without being in it.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// The environment of this process.
Environment process_environment();

// How the driver's environment variables are read: all alike. What is empty counts as not set,
// spaces around a value and capitals do not matter, and what is not among the values that a
// variable can have is an error that lists them.

/// What a variable is set to; nothing if it is not set or empty.
std::optional<std::string> variable(const Environment& environment, const char* name);

/// One of the values that a variable can have.
struct Value {
    const char* name;     ///< in small letters
    const char* meaning;  ///< for messages; may be empty
};

/// The place in `values` of what `given` names; the first, the default, if it is nothing. `source`:
/// what says so, for messages. Throws Error naming it if it is none of them.
std::size_t choose(const std::optional<std::string>& given, const std::string& source,
                   std::initializer_list<Value> values);

/// The same of a variable.
std::size_t choose_variable(const Environment& environment, const char* name,
                            std::initializer_list<Value> values);

/// A variable that turns something on (1, yes, true, on) or off (0, no, false, off, not set).
bool switch_variable(const Environment& environment, const char* name);

/// Whether a value is one of those that turn a switch off.
bool means_off(const std::string& value);

/// Without spaces around it, in small letters.
std::string plain_word(const std::string& text);

}  // namespace torchml
