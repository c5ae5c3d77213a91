#include "base/variables.hpp"

#include <cstdlib>

#include "base/error.hpp"
#include "base/value_lines.hpp"

namespace torchml {

namespace {

/// The values of a switch, in pairs of off and on; off is the default.
constexpr std::initializer_list<Value> off_and_on = {{"0", "off, the default"},
                                                     {"1", "on"},
                                                     {"no", ""},
                                                     {"yes", ""},
                                                     {"false", ""},
                                                     {"true", ""},
                                                     {"off", ""},
                                                     {"on", ""}};

}  // namespace

Environment process_environment() {
    return [](const std::string& name) -> std::optional<std::string> {
        const char* value = std::getenv(name.c_str());
        return value == nullptr ? std::nullopt : std::optional<std::string>(value);
    };
}

std::string plain_word(const std::string& text) {
    const char* spaces = " \t\r\n\f\v";
    const auto first = text.find_first_not_of(spaces);
    if (first == std::string::npos) return "";
    return lower(text.substr(first, text.find_last_not_of(spaces) - first + 1));
}

std::optional<std::string> variable(const Environment& environment, const char* name) {
    const auto found = environment(name);
    return !found || plain_word(*found).empty() ? std::nullopt : found;
}

std::size_t choose(const std::optional<std::string>& given, const std::string& source,
                   std::initializer_list<Value> values) {
    if (!given) return 0;
    const std::string word = plain_word(*given);
    std::size_t place = 0;
    for (const Value& value : values) {
        if (word == value.name) return place;
        ++place;
    }
    std::string all;
    place = 0;
    for (const Value& value : values) {
        ++place;
        all.append(place == 1 ? "" : place == values.size() ? " or " : ", ");
        all.append("'").append(value.name).append("'");
        if (*value.meaning != '\0') all.append(" (").append(value.meaning).append(")");
    }
    fail<ErrorHere>(source, " is '", *given, "'; it must be ", all, ".");
}

std::size_t choose_variable(const Environment& environment, const char* name,
                            std::initializer_list<Value> values) {
    return choose(variable(environment, name), std::string("the environment variable ") + name,
                  values);
}

bool switch_variable(const Environment& environment, const char* name) {
    return choose_variable(environment, name, off_and_on) % 2 == 1;
}

bool means_off(const std::string& value) {
    const std::string word = plain_word(value);
    std::size_t place = 0;
    for (const Value& known : off_and_on) {
        if (word == known.name) return place % 2 == 0;
        ++place;
    }
    return false;
}

}  // namespace torchml
