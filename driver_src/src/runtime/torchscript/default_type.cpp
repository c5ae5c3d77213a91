#include "runtime/torchscript/default_type.hpp"

#include <c10/core/DefaultDtype.h>
#include <c10/core/ScalarTypeToTypeMeta.h>
#include <pthread.h>

#include <condition_variable>
#include <mutex>

// One state for the whole process, although it may contain several libraries of the driver, each
// with its own symbols: they share the static variable of an inline function with default
// visibility. Its layout must not change without a new name.
#define TORCHML_OF_THE_PROCESS __attribute__((visibility("default")))

namespace torchml {

struct TORCHML_OF_THE_PROCESS DefaultTypeState1 {
    std::mutex mutex;
    std::condition_variable* changed = new std::condition_variable;
    std::int64_t holders = 0;
    std::uint64_t next_number = 0, admitted = 0;  // each caller draws a number and enters in turn
    c10::ScalarType type = c10::ScalarType::Float, hosts = c10::ScalarType::Float;
    std::int64_t generation = 0;  // of the process: the number of forks since the first
};

namespace {

void set_default(c10::ScalarType type) { c10::set_default_dtype(c10::scalarTypeToTypeMeta(type)); }

void give_back(const DefaultTypeState1& state) {
    const bool still_ours = c10::get_default_dtype_as_scalartype() == state.type;
    if (still_ours && state.hosts != state.type) set_default(state.hosts);
}

void lock_default_type();
void unlock_default_type();
void renew_default_type_in_child();

}  // namespace

/// Never destroyed: threads may compute to the very end of the process.
TORCHML_OF_THE_PROCESS inline DefaultTypeState1& default_type_state_1() {
    static DefaultTypeState1& only = [](auto* made) -> DefaultTypeState1& {
        pthread_atfork(&lock_default_type, &unlock_default_type, &renew_default_type_in_child);
        return *made;
    }(new DefaultTypeState1);
    return only;
}

namespace {

void lock_default_type() { default_type_state_1().mutex.lock(); }
void unlock_default_type() { default_type_state_1().mutex.unlock(); }

/// Resets the state in a forked process, which lacks the threads that held a type or waited.
void renew_default_type_in_child() {
    DefaultTypeState1& state = default_type_state_1();
    if (state.holders != 0) give_back(state);
    state.holders = 0;
    state.admitted = state.next_number;
    ++state.generation;
    state.changed = new std::condition_variable;  // the threads waiting on the old one are gone
    state.mutex.unlock();
}

/// The default types that this thread holds.
struct Held {
    std::int64_t count = 0, generation = 0;
};
thread_local Held held;

}  // namespace

DefaultType::DefaultType(c10::ScalarType type) {
    DefaultTypeState1& state = default_type_state_1();
    std::unique_lock<std::mutex> lock(state.mutex);
    generation_ = state.generation;
    nested_ = held.count != 0 && held.generation == generation_;
    if (nested_) return;
    const std::uint64_t number = state.next_number++;
    while (state.admitted != number || (state.holders != 0 && state.type != type)) {
        state.changed->wait(lock);
    }
    ++state.admitted;
    const c10::ScalarType now = c10::get_default_dtype_as_scalartype();
    if (state.holders++ == 0 || now != state.type) state.hosts = now;  // it may change at any time
    state.type = type;
    if (now != type) set_default(type);
    held = {1, generation_};
    if (state.admitted != state.next_number) state.changed->notify_all();
}

DefaultType::~DefaultType() {
    if (nested_) return;
    DefaultTypeState1& state = default_type_state_1();
    const std::lock_guard<std::mutex> lock(state.mutex);
    if (generation_ != state.generation) return;  // the process was forked meanwhile
    held.count = 0;
    if (--state.holders == 0) give_back(state);
    if (state.admitted != state.next_number) state.changed->notify_all();
}

}  // namespace torchml
