#include "process/threads.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/error.hpp"
#include "base/value_lines.hpp"
#include "base/variables.hpp"
#include "process/cores.hpp"
#include "process/forking.hpp"

namespace torchml {

namespace {

/// Where this process runs.
Cores process_cores() {
    Cores cores;
    cores.online = std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
    cores.available = available_cores(cores.online, machine_files());
    cpu_set_t bound;
    const bool known_binding = sched_getaffinity(0, sizeof bound, &bound) == 0;
    cores.allowed = known_binding ? CPU_COUNT(&bound) : cores.available;
    return cores;
}

/// Whether the program itself uses torch, as a Python process that has imported it does.
std::atomic<bool> host_uses_torch{false};

/// Torch's default number, asked on a new thread, where nothing has set it.
int torchs_own_choice() {
    int count = 1;
    try {
        std::thread([&count] {
            try {
                count = at::get_num_threads();
            } catch (...) {  // out of memory
            }
        }).join();
    } catch (const std::system_error&) {  // this user may not start more threads
    }
    return count;
}

/// Facts that hold for a process and all those forked from it.
struct Choice {
    Threads threads;
    int torchs_own = 1;  // used unless the user or a launcher has set the number
    int online = 1;
};

Choice choose() {
    Choice choice;
    const Cores cores = process_cores();
    choice.online = cores.online;
    const Environment environment = process_environment();
    choice.threads = choose_threads(environment, process_launcher(), cores);
    // OpenMP would wait for threads that existed before the fork. If it is unknown whether there
    // were any, the user's choice counts.
    const LostThreads lost = lost_threads();
    if (lost == LostThreads::certain ||
        (lost == LostThreads::possible && !variable(environment, "KIM_MODEL_NUM_THREADS"))) {
        choice.threads = {1, true};
    }
    if (choice.threads.count == 0) choice.torchs_own = torchs_own_choice();
    return choice;
}

}  // namespace

Threads choose_threads(const Environment& environment, const std::optional<Launcher>& launcher,
                       const Cores& cores) {
    if (const auto wanted = variable(environment, "KIM_MODEL_NUM_THREADS")) {
        int value = 0;
        const std::string word = plain_word(*wanted);
        if (!read_whole_number(word, value) || value < 1 || value > cores.online) {
            fail<ErrorHere>(
                "the environment variable KIM_MODEL_NUM_THREADS is '", *wanted,
                "'; it must be a number of threads from 1 to ", cores.online,
                ", the number of this machine's cores. Unset it to give each process its share of "
                "them.");
        }
        return {value, true};
    }
    if (variable(environment, "OMP_NUM_THREADS")) return {0, true};
    if (!launcher) return {0, false};
    return {std::max(1, std::min(cores.allowed, cores.available / launcher->local_size)), false};
}

Threads process_threads() {
    static std::mutex mutex;
    static int generation = -1;  // the process for which it was chosen; a fork is another one
    static Choice chosen;
    const std::lock_guard<std::mutex> lock(mutex);
    if (generation != fork_generation()) {
        chosen = choose();
        generation = fork_generation();
    }
    Threads threads = chosen.threads;
    if (threads.count == 0) {
        threads.count = host_uses_torch ? at::get_num_threads() : chosen.torchs_own;
        threads.count = std::clamp(threads.count, 1, chosen.online);
    }
    return threads;
}

void look_for_torch_of_host() {
    if (host_uses_torch) return;
    void* const library = dlopen("libtorch_python.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return;
    dlclose(library);
    host_uses_torch = true;
}

}  // namespace torchml
