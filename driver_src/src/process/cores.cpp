#include "process/cores.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

namespace torchml {

namespace {

/// `words` split at `separator`.
std::vector<std::string> split(const std::string& words, char separator) {
    std::vector<std::string> found;
    std::istringstream stream(words);
    for (std::string word; std::getline(stream, word, separator);) found.push_back(word);
    return found;
}

bool contains(const std::vector<std::string>& words, const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

/// The number in a text, with spaces or a new line around it.
std::optional<std::int64_t> whole_number(const std::string& text) {
    const auto spaces = " \n";
    const auto begin = text.find_first_not_of(spaces);
    if (begin == std::string::npos) return std::nullopt;
    const auto end = text.find_last_not_of(spaces) + 1;
    std::int64_t value = 0;
    const auto [stop, problem] = std::from_chars(text.data() + begin, text.data() + end, value);
    if (problem != std::errc() || stop != text.data() + end || value < 0) return std::nullopt;
    return value;
}

/// The number of CPUs in a list in the kernel's notation: "0-3,8" has five.
std::optional<int> count_cpus(const std::optional<std::string>& list) {
    if (!list) return std::nullopt;
    int count = 0;
    for (const std::string& range : split(*list, ',')) {
        const auto dash = std::min(range.find('-'), range.size());
        const auto first = whole_number(range.substr(0, dash));
        const auto last = dash == range.size() ? first : whole_number(range.substr(dash + 1));
        if (!first || !last || *last < *first) return std::nullopt;
        count += static_cast<int>(*last - *first + 1);
    }
    return count;
}

/// The number of cores that a quota of time per period is worth, rounded up: "150000" per "100000"
/// is two. Empty if the quota is "max" or negative.
std::optional<int> count_quota(const std::optional<std::string>& quota,
                               const std::optional<std::string>& period) {
    if (!quota || !period) return std::nullopt;
    const auto time = whole_number(*quota), whole = whole_number(*period);
    if (!time || !whole || *time == 0 || *whole == 0) return std::nullopt;
    return static_cast<int>(std::min((*time - 1) / *whole + 1, std::int64_t{1} << 30));
}

/// The folders of this process's control group and its ancestors: of a controller of version 1, or
/// of version 2 ("").
std::vector<std::string> group_folders(const FileReader& read, const std::string& controller) {
    std::string root, point, group;
    for (const std::string& line : split(read("/proc/self/mountinfo").value_or(""), '\n')) {
        // ID PARENT DEVICE ROOT POINT OPTIONS [TAGS ...] - TYPE SOURCE OPTIONS
        const auto fields = split(line, ' ');
        const auto dash = std::find(fields.begin(), fields.end(), "-");
        if (fields.end() - dash < 4 || dash - fields.begin() < 6) continue;
        const bool wanted = controller.empty()
                                ? dash[1] == "cgroup2"
                                : dash[1] == "cgroup" && contains(split(dash[3], ','), controller);
        if (!wanted) continue;
        root = fields[3] == "/" ? "" : fields[3];
        point = fields[4];
    }
    if (point.empty()) return {};
    for (const std::string& line : split(read("/proc/self/cgroup").value_or(""), '\n')) {
        // HIERARCHY:CONTROLLERS:PATH
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool wanted = controller.empty() ? controllers.empty()
                                               : contains(split(controllers, ','), controller);
        if (wanted) group = line.substr(second + 1);
    }
    // In a container, the group may have the name that the host knows; its folder is mounted.
    if (group.rfind(root, 0) == 0) group.erase(0, root.size());
    std::vector<std::string> folders;
    while (group.size() > 1) {
        folders.push_back(point + group);
        group.erase(std::min(group.rfind('/'), group.size()));
    }
    folders.push_back(point);
    return folders;
}

}  // namespace

FileReader machine_files() {
    return [](const std::string& path) -> std::optional<std::string> {
        std::ifstream file(path);
        if (!file) return std::nullopt;
        return std::string(std::istreambuf_iterator<char>(file), {});
    };
}

int available_cores(int online, const FileReader& read) {
    int cores = online;
    const auto limit = [&](std::optional<int> to) {
        if (to && *to > 0) cores = std::min(cores, *to);  // a group without a list may use all
    };
    for (const std::string& folder : group_folders(read, "")) {
        limit(count_cpus(read(folder + "/cpuset.cpus.effective")));
        if (const auto pair = read(folder + "/cpu.max")) {  // "150000 100000"
            const auto space = std::min(pair->find(' '), pair->size());
            limit(count_quota(pair->substr(0, space), pair->substr(space)));
        }
    }
    for (const std::string& folder : group_folders(read, "cpuset")) {
        limit(count_cpus(read(folder + "/cpuset.effective_cpus")));
        limit(count_cpus(read(folder + "/cpuset.cpus")));
    }
    for (const std::string& folder : group_folders(read, "cpu")) {
        limit(count_quota(read(folder + "/cpu.cfs_quota_us"), read(folder + "/cpu.cfs_period_us")));
    }
    return cores;
}

}  // namespace torchml
