#pragma once

#include <filesystem>
#include <sstream>
#include <string>

#include "base/error.hpp"
#include "base/text_stream.hpp"

namespace torchml {

/// Whether the text has no control characters besides white space.
bool is_text(const std::string& text);

/// Reads a whole small file. `what` is for messages ("parameter file"). Throws Error if it cannot
/// be read or is longer than 1 MiB, which no file of values is.
std::string read_small_file(const std::filesystem::path& file, const char* what);

/// Reads a word as a number, with a decimal point whatever the host program's locale. Returns false
/// unless it is a finite number.
bool read_number(const std::string& word, double& value);

/// Reads a word as a whole number. Returns false if it is not one.
bool read_whole_number(const std::string& word, int& value);

/// The text in lower case.
std::string lower(std::string text);

/// Steps through the lines of a file that carry values, and knows their numbers for messages.
/// `#` starts a comment anywhere in a line; blank lines do not count.
class ValueLines {
  public:
    /// `file`: its name in messages ("parameter file model.param"). `values`: what messages add if
    /// the file ends too early.
    ValueLines(const std::string& text, std::string file, std::string values)
        : stream_(text), file_(std::move(file)), values_(std::move(values)) {}

    /// Moves to the next line with a value and stores it in `line`, without its comment and
    /// surrounding spaces. Returns false at the end of the file.
    bool advance(std::string& line);

    /// Returns the next line, which is required. Throws Error if the file ends before `what`.
    std::string next(const char* what);

    /// The number of the current line, from 1.
    int number() const { return number_; }

    /// Throws an Error that names the current line.
    template <class... Parts>
    [[noreturn]] void reject(const Parts&... parts) const {
        fail(file_, ", line ", number_, ": ", parts...);
    }

  private:
    TextStream stream_;
    std::string file_;
    std::string values_;
    int number_ = 0;
};

}  // namespace torchml
