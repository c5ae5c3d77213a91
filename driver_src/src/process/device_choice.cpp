#include "process/device_choice.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "base/error.hpp"
#include "base/variables.hpp"

namespace torchml {

namespace {

constexpr std::array<const char*, 3> accelerators = {"cuda", "mps", "xpu"};

/// Says how CUDA_VISIBLE_DEVICES narrows what a process sees, which then counts from 0 again.
std::string visible(const std::string& type, const Environment& environment) {
    const auto narrowed = type == "cuda" ? environment("CUDA_VISIBLE_DEVICES") : std::nullopt;
    if (!narrowed) return "";
    return " (CUDA_VISIBLE_DEVICES is '" + *narrowed + "', and those it lists are numbered from 0)";
}

}  // namespace

Device choose_device(const std::optional<std::string>& wanted, const std::string& source,
                     const std::optional<Launcher>& launcher, const Environment& environment,
                     const DeviceCounter& devices) {
    std::string type = plain_word(wanted.value_or(""));
    if (type.empty() || type == "cpu") return {};

    std::string number;
    const auto colon = type.find(':');
    if (colon != std::string::npos) {
        number = type.substr(colon + 1);
        type.erase(colon);
    }
    int index = 0;
    const char* last = number.data() + number.size();
    const auto [end, problem] = std::from_chars(number.data(), last, index);
    const bool numbered = colon != std::string::npos;
    const bool known =
        std::find(accelerators.begin(), accelerators.end(), type) != accelerators.end();
    if (!known || (numbered && (problem != std::errc() || end != last || index < 0))) {
        fail<ErrorHere>(source, " is '", *wanted,
                        "'; it must be cpu, cuda (a node's ranks take its GPUs in ",
                        "turn), cuda:N for GPU number N, or mps or xpu where torch has them.");
    }

    const DeviceCount found = devices(type);
    if (found.count == 0) {
        fail<ErrorHere>(source, " is '", *wanted,
                        "', but there is no such device: ", found.why_none,
                        visible(type, environment), ". Use 'cpu' to compute without one.");
    }
    if (!numbered) return {type, launcher ? launcher->local_rank % found.count : 0};
    if (index >= found.count) {
        fail<ErrorHere>(source, " is '", *wanted, "', but this process sees ", found.count,
                        found.count == 1 ? " device" : " devices", " of that kind, numbered from 0",
                        visible(type, environment), ".");
    }
    return {type, index};
}

}  // namespace torchml
