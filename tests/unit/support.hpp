#pragma once

// Helpers for the unit tests.

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/variables.hpp"

namespace torchml::tests {

using Variables = std::map<std::string, std::string>;

/// An environment, or a machine's files, with the contents `known`.
inline Environment made_of(Variables known) {
    return [known = std::move(known)](const std::string& name) -> std::optional<std::string> {
        const auto found = known.find(name);
        return found == known.end() ? std::nullopt : std::optional(found->second);
    };
}

/// `first` and `second` combined; for a name in both, the value from `second`.
inline Variables joined(const Variables& first, Variables second) {
    second.insert(first.begin(), first.end());
    return second;
}

/// The message of the Error that `action` throws; the test fails if it throws none.
template <class Kind = Error>
std::string refusal(const std::function<void()>& action) {
    try {
        action();
    } catch (const Kind& problem) {
        return problem.what();
    }
    FAIL("no error was thrown");
    return "";
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Checks that `text` contains `part`, and shows both if not.
#define CHECK_CONTAINS(text, part)                                     \
    do {                                                               \
        const std::string whole_text = (text);                         \
        const std::string wanted_part = (part);                        \
        INFO("'", whole_text, "' has to contain '", wanted_part, "'"); \
        CHECK(torchml::tests::contains(whole_text, wanted_part));      \
    } while (false)

}  // namespace torchml::tests
