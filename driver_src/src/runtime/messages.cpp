#include "runtime/messages.hpp"

#include <c10/util/Exception.h>

#include <sstream>

namespace torchml {

std::string essence(const std::exception& problem) {
    std::string text = problem.what();
    if (const auto* torch_error = dynamic_cast<const c10::Error*>(&problem)) {
        text = torch_error->what_without_backtrace();
    }
    std::string first, error, line;
    std::istringstream lines(text);
    while (std::getline(lines, line)) {
        const auto start = line.find_first_not_of(" \t\r");
        if (start == std::string::npos) continue;
        line.erase(0, start);
        if (first.empty()) first = line;
        if (line.find("Error: ") != std::string::npos) error = line;
    }
    return error.empty() ? first : error;
}

}  // namespace torchml
