#include "base/value_lines.hpp"
#include "base/text_stream.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <locale>

namespace torchml {

namespace {

// These files have a dozen to a few hundred short lines; anything much longer is another kind.
constexpr std::size_t longest_file = 1 << 20;

}  // namespace

bool is_text(const std::string& text) {
    return std::none_of(text.begin(), text.end(),
                        [](unsigned char letter) { return letter < ' ' && !std::isspace(letter); });
}

std::string read_small_file(const std::filesystem::path& file, const char* what) {
    std::ifstream stream(file, std::ios::binary);
    std::string text(longest_file + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (stream.bad() || !stream.is_open()) {
        fail(what, " ", file.string(),
             " cannot be read. Check that it exists and that you may read it.");
    }
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > longest_file) {
        fail(what, " ", file.string(),
             " is longer than 1 MiB, which is too long. Check that it is the right file.");
    }
    return text;
}

bool read_number(const std::string& word, double& value) {
    TextStream stream(word);
    stream.imbue(std::locale::classic());
    std::string rest;
    return (stream >> value) && !(stream >> rest) && std::isfinite(value);
}

bool read_whole_number(const std::string& word, int& value) {
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
    return problem == std::errc() && end == word.data() + word.size();
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    return text;
}

bool ValueLines::advance(std::string& line) {
    while (std::getline(stream_, line)) {
        ++number_;
        line.erase(std::min(line.find('#'), line.size()));
        const char* spaces = " \t\r\f\v";
        const auto first = line.find_first_not_of(spaces);
        if (first == std::string::npos) continue;
        line = line.substr(first, line.find_last_not_of(spaces) - first + 1);
        return true;
    }
    return false;
}

std::string ValueLines::next(const char* what) {
    std::string line;
    if (!advance(line)) {
        fail(file_, " ends before ", what, " (after line ", number_, "). ", values_);
    }
    return line;
}

}  // namespace torchml
