#pragma once

#include <ios>
#include <sstream>
#include <string>

namespace torchml {

/// Text to read lines or words from. Where memory is short for one of them it throws
/// std::bad_alloc; std::istringstream by itself would take that for the end of the text.
class TextStream : public std::istringstream {
  public:
    explicit TextStream(const std::string& text) : std::istringstream(text) {
        exceptions(std::ios::badbit);
    }
};

}  // namespace torchml
