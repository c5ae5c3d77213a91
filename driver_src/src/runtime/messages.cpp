#include "runtime/messages.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <sstream>

namespace torchml {

namespace {

constexpr std::size_t longest_message = 600;

/// Where a line turns to torch's developers, or to torch's own calls.
constexpr const char* asides[] = {
    "Exception raised from ",
    " This could be because the operator doesn't exist",
    " PyTorch splits its backend into two shared libraries",
    " (most recent call first)",
};

bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

/// Removes what comes before the condition in `[enforce fail at file.cc:12] condition. What
/// happened`.
void remove_place(std::string& line) {
    if (!starts_with(line, "[enforce fail at ")) return;
    const auto end = line.find("] ");
    if (end == std::string::npos) return;
    line.erase(0, end + 2);
    line.erase(0, std::min(line.find_first_not_of(". "), line.size()));
}

/// The part of a line that addresses users; "" if there is none.
std::string essence_of(std::string line) {
    line.erase(0, std::min(line.find_first_not_of(" \t\r"), line.size()));
    if (starts_with(line, "frame #")) return "";
    remove_place(line);
    for (const char* aside : asides) line.erase(std::min(line.find(aside), line.size()));
    const auto end = line.find_last_not_of(" \t\r");
    line.erase(end == std::string::npos ? 0 : end + 1);
    if (line.size() > longest_message) {
        auto cut = longest_message;
        while ((static_cast<unsigned char>(line[cut]) & 0xc0) == 0x80) --cut;  // whole characters
        line = line.substr(0, cut) + " ...";
    }
    return line;
}

}  // namespace

std::string essence(const std::exception& problem) {
    std::string text = problem.what();
    if (const auto* torch_error = dynamic_cast<const c10::Error*>(&problem)) {
        text = torch_error->what_without_backtrace();
    }
    std::string first, error, line;
    std::istringstream lines(text);
    while (std::getline(lines, line)) {
        line = essence_of(std::move(line));
        if (line.empty()) continue;
        if (first.empty()) first = line;
        if (line.find("Error: ") != std::string::npos) error = line;
    }
    if (first.empty()) first = "torch gave no reason";
    return error.empty() ? first : error;
}

std::string sentence(std::string text) {
    if (text.empty() || std::string(".?!").find(text.back()) == std::string::npos) text += '.';
    return text;
}

}  // namespace torchml
