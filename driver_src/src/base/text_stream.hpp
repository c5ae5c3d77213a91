#pragma once

#include <ios>
#include <locale>
#include <sstream>
#include <string>

namespace torchml {

/// Text to read lines or words from. Throws std::bad_alloc where memory is short for one of them,
/// which std::istringstream takes for the end of the text.
class TextStream : public std::istringstream {
  public:
    explicit TextStream(const std::string& text) : std::istringstream(text) {
        imbue(std::locale::classic());  // the program's may write numbers and spaces differently
        exceptions(std::ios::badbit);
    }
};

}  // namespace torchml
