#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace torchml {

/// A value of the JSON (RFC 8259) that our own Python code writes: objects, arrays, strings
/// without escapes, whole numbers from 0 to 10^9 - 1, true and false.
struct Json {
    enum class Kind : std::uint8_t { object, array, text, number, truth };

    Kind kind = Kind::truth;
    bool truth = false;
    std::int64_t number = 0;
    std::string text;
    std::vector<std::string> keys;  ///< an object's, each once, in the order of `items`
    std::vector<Json> items;        ///< values of an object, or an array's

    /// An object's value; nullptr if there is none of that key.
    const Json* find(const std::string& key) const;
};

/// Nothing if the text is anything else, or nested more than eight deep.
std::optional<Json> parse_json(const std::string& text);

}  // namespace torchml
