#include "process/forking.hpp"

#include <pthread.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <sstream>
#include <string>

#include "base/error.hpp"

namespace torchml {

namespace {

/// Whether this process has threads besides the calling one. Called while forking.
bool has_several_threads() {
    struct stat tasks = {};  // each thread has a folder in it: two links more than threads
    return stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink != 3;
}

/// Whether this process was forked and has not called exec since.
bool is_plain_fork() {
    std::ifstream file("/proc/self/stat");
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(')');  // the program's name may have spaces
    if (name_end == std::string::npos) return false;
    std::istringstream fields(text.substr(name_end + 1));
    std::string skipped;
    for (int field = 3; field < 9; ++field) fields >> skipped;
    unsigned long flags = 0;
    fields >> flags;
    constexpr unsigned long forked_without_exec = 0x40;  // the kernel's PF_FORKNOEXEC
    return (flags & forked_without_exec) != 0;
}

/// The state of this process; set up when the library is loaded.
struct ForkState {
    std::atomic<bool> used{false};
    std::atomic<int> generation{0};
    bool several_threads = false;  // just before a fork
    bool forked_after_use = false;
    LostThreads lost = is_plain_fork() ? LostThreads::possible : LostThreads::none;

    ForkState() { pthread_atfork(&before, nullptr, &in_child); }

    static void before();
    static void in_child();
};

// Never destroyed: forks happen at the very end of processes, too.
ForkState& state = *new ForkState;

void ForkState::before() { state.several_threads = has_several_threads(); }

void ForkState::in_child() {
    ++state.generation;
    if (state.used) state.forked_after_use = true;
    if (state.several_threads) state.lost = LostThreads::certain;
}

}  // namespace

LostThreads lost_threads() { return state.lost; }

int fork_generation() { return state.generation; }

void require_not_forked_after_use() {
    if (!state.forked_after_use) return;
    fail(
        "this process was forked from one that had already run a model. Torch's threads do not "
        "survive a fork, so a computation here might never end. Start a new process instead (in "
        "Python, with multiprocessing.get_context('spawn')), or fork before the first "
        "computation.");
}

void note_use() { state.used = true; }

}  // namespace torchml
