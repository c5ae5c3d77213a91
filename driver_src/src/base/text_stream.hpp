#pragma once

#include <ios>
#include <locale>
#include <sstream>
#include <string>

namespace torchml {

/// A text to read lines or words from. Throws std::bad_alloc if memory runs out while reading,
/// which std::istringstream would treat as the end of the text.
class TextStream : public std::istringstream {
  public:
    explicit TextStream(const std::string& text) : std::istringstream(text) {
        imbue(std::locale::classic());  // the host program's may format numbers differently
        exceptions(std::ios::badbit);
    }
};

}  // namespace torchml
