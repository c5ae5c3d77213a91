#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>

namespace torchml {

/// Looks up an environment variable; empty if it is not set. Passed as a parameter, so that tests
/// can supply any environment.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// The environment of this process.
Environment process_environment();

// The driver reads all its environment variables alike: an empty value counts as not set,
// surrounding spaces and capitals do not matter, and an unknown value is an error that lists the
// valid ones.

/// A variable's value; empty if it is not set or has no text.
std::optional<std::string> variable(const Environment& environment, const char* name);

/// One of the valid values of a variable.
struct Value {
    const char* name;     ///< in lower case
    const char* meaning;  ///< for messages; may be empty
};

/// The index in `values` of the one that `given` names; 0, the default, if `given` is empty.
/// `source`: where the value comes from, for messages. Throws ErrorHere for an unknown value.
std::size_t choose(const std::optional<std::string>& given, const std::string& source,
                   std::initializer_list<Value> values);

/// The same for a variable.
std::size_t choose_variable(const Environment& environment, const char* name,
                            std::initializer_list<Value> values);

/// Whether a variable turns something on (1, yes, true, on) or off (0, no, false, off, not set).
bool switch_variable(const Environment& environment, const char* name);

/// Whether a value turns a switch off.
bool means_off(const std::string& value);

/// `text` without surrounding spaces, in lower case.
std::string plain_word(const std::string& text);

}  // namespace torchml
