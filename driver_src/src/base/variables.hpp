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

// All of the driver's environment variables are read alike: an empty value counts as not set,
// spaces around a value and capitals do not matter, and an unknown value is an error that lists
// those that the variable can have.

/// A variable's value; nothing if it is not set or empty.
std::optional<std::string> variable(const Environment& environment, const char* name);

/// One of the values that a variable can have.
struct Value {
    const char* name;     ///< in lower case
    const char* meaning;  ///< for messages; may be empty
};

/// The index in `values` of the one that `given` names; 0, the default, if it is nothing. `source`:
/// where the value comes from, for messages. Throws Error naming it for an unknown value.
std::size_t choose(const std::optional<std::string>& given, const std::string& source,
                   std::initializer_list<Value> values);

/// The same for a variable.
std::size_t choose_variable(const Environment& environment, const char* name,
                            std::initializer_list<Value> values);

/// A variable that turns something on (1, yes, true, on) or off (0, no, false, off, not set).
bool switch_variable(const Environment& environment, const char* name);

/// Whether a value is one of those that turn a switch off.
bool means_off(const std::string& value);

/// `text` without spaces around it, in lower case.
std::string plain_word(const std::string& text);

}  // namespace torchml
