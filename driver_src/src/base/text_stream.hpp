#pragma once

#include <ios>
#include <locale>
#include <sstream>
#include <string>

namespace torchml {

/// Text to read lines or words from. Where memory is short for one of them it throws
/// std::bad_alloc; std::istringstream by itself would take that for the end of the text.
class TextStream : public std::istringstream {
  public:
    explicit TextStream(const std::string& text) : std::istringstream(text) {
        imbue(std::locale::classic());  // a program's own may have other numbers and blanks
        exceptions(std::ios::badbit);
    }
};

}  // namespace torchml
