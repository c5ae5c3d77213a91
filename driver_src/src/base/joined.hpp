#pragma once

#include <string>

namespace torchml {

/// Strings separated by commas, for messages: "Si, C".
template <class Strings>
std::string joined(const Strings& strings) {
    std::string text;
    for (const std::string& string : strings) text += (text.empty() ? "" : ", ") + string;
    return text;
}

}  // namespace torchml
