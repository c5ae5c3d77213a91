#include "process/profile.hpp"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>

#include "base/variables.hpp"
#include "process/forking.hpp"
#include "process/launcher.hpp"

namespace torchml {

namespace {

/// The rank, for the table's heading.
std::string rank() {
    const auto launcher = process_launcher();
    return launcher ? ", rank " + std::to_string(launcher->rank) : "";
}

double milliseconds(std::chrono::steady_clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

/// The profiles that have not printed yet.
class Living {
  public:
    void add(Profile* profile) {
        const std::lock_guard<std::mutex> lock(mutex_);
        profiles_.insert(profile);
    }

    /// Returns whether the profile was in the list.
    bool remove(Profile* profile) {
        const std::lock_guard<std::mutex> lock(mutex_);
        return profiles_.erase(profile) != 0;
    }

    Profile* any() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return profiles_.empty() ? nullptr : *profiles_.begin();
    }

  private:
    std::mutex mutex_;
    std::set<Profile*> profiles_;
};

Living& living() {
    static Living* const only = [] {
        auto* made = new Living;  // never destroyed: models may outlive static objects
        std::atexit([] {
            while (Profile* profile = living().any()) profile->print();
        });
        return made;
    }();
    return *only;
}

}  // namespace

Profile::Profile() {
    on_ = switch_variable(process_environment(), "KIM_MODEL_PROFILE");
    if (on_) living().add(this);
}

void Profile::count_step(const Step& step) {
    if (!on_) return;
    generation_ = fork_generation();
    if (n_steps_++ == 0) {
        first_step_ = times_;
        times_ = {};
    }
    last_step_ = step;
}

Profile::~Profile() {
    if (on_) print();
}

void Profile::print() {
    if (!living().remove(this) || n_steps_ == 0 || generation_ != fork_generation()) return;
    try {
        std::fputs(table().c_str(), stderr);  // one write, so that ranks do not mix their lines
    } catch (...) {  // out of memory, with no caller to report to: a model or the process ends here
    }
}

std::string Profile::table() const {
    const char* names[n_stages] = {"inputs", "copies", "forward", "backward", "outputs"};
    if (gradient_in_forward_) {
        names[static_cast<std::size_t>(Stage::forward)] = "forward+backward";
        names[static_cast<std::size_t>(Stage::backward)] = nullptr;
    }
    const auto later_steps = static_cast<double>(n_steps_ - 1);
    double all = 0.0, first = 0.0;
    for (std::size_t k = 0; k < n_stages; ++k) {
        all += milliseconds(times_[k]);
        first += milliseconds(first_step_[k]);
    }
    char line[240];
    std::snprintf(
        line, sizeof line,
        "TorchML profile%s: %lld steps; last step: %lld particles, %lld contributing, %d %s, "
        "%.1f MB of tensors; first step: %.3f ms\n",
        rank().c_str(), static_cast<long long>(n_steps_),
        static_cast<long long>(last_step_.n_particles),
        static_cast<long long>(last_step_.n_contributing), last_step_.n_threads,
        last_step_.n_threads == 1 ? "thread" : "threads",
        1e-6 * static_cast<double>(last_step_.tensor_bytes), first);
    std::string table = line;
    if (!last_step_.graph.empty()) table.append("  graph  ").append(last_step_.graph).append("\n");
    for (std::size_t k = 0; k < n_stages && n_steps_ > 1; ++k) {
        if (names[k] == nullptr) continue;
        const double time = milliseconds(times_[k]);
        std::snprintf(line, sizeof line, "  %-16s %10.3f ms per step %6.1f %%\n", names[k],
                      time / later_steps, all > 0.0 ? 100.0 * time / all : 0.0);
        table += line;
    }
    return table;
}

}  // namespace torchml
