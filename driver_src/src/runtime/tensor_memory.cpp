#include "runtime/tensor_memory.hpp"

#include <c10/core/CPUAllocator.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>

namespace torchml {

namespace {

// Smaller blocks stay in the C library's heap by themselves.
constexpr std::size_t smallest_kept = 64 * 1024;
// Blocks that no step wanted for so many steps go back to the system.
constexpr std::uint64_t idle_steps = 500;
constexpr std::size_t huge_page = 2 * 1024 * 1024;

thread_local int depth = 0;  // of KeptTensorMemory on this thread

struct Block {
    void* data;
    std::size_t size;
    std::uint64_t last_step;
    Block* next;  // of those that are free and of this size
};

/// Sizes are rounded up to one of eight between each power of two and the next, so that neighbour
/// counts that change a little find the same blocks, at a cost of an eighth of memory at most.
std::size_t rounded(std::size_t size) {
    std::size_t power = smallest_kept;
    while (power <= size / 2) power *= 2;
    const std::size_t grain = power / 8;
    return (size + grain - 1) / grain * grain;
}

class KeepingAllocator final : public c10::Allocator {
  public:
    explicit KeepingAllocator(c10::Allocator* upstream) : upstream_(upstream) {}

    // Torch made this function non-const in 2.4; one of the two overrides.
    c10::DataPtr allocate(std::size_t size) const {
        if (depth == 0 || size < smallest_kept) return upstream_->allocate(size);
        Block* block = take(rounded(size));
        // The context differs from the data on purpose: torch then refuses to free it by address.
        return {block->data, block, &give_back, c10::Device(c10::DeviceType::CPU)};
    }
    c10::DataPtr allocate(std::size_t size) {
        return static_cast<const KeepingAllocator*>(this)->allocate(size);
    }
    c10::DeleterFnPtr raw_deleter() const { return upstream_->raw_deleter(); }
    // Wanted by torch 2.1 and later.
    void copy_data(void* target, const void* source, std::size_t count) const {
        std::memcpy(target, source, count);
    }

    void end_step() {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++step_;
        if (step_ % idle_steps != 0) return;
        for (auto& [size, first] : free_) {
            for (Block** place = &first; *place != nullptr;) {
                Block* const block = *place;
                if (block->last_step + idle_steps < step_) {
                    *place = block->next;
                    std::free(block->data);
                    delete block;
                } else {
                    place = &block->next;
                }
            }
        }
    }

  private:
    Block* take(std::size_t size) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        // A block somewhat larger serves as well as a new one, which would have to be faulted in.
        const auto end = free_.upper_bound(size + size / 4);
        for (auto kept = free_.lower_bound(size); kept != end; ++kept) {
            Block* const block = kept->second;
            if (block == nullptr) continue;
            kept->second = block->next;
            return block;
        }
        auto made = std::make_unique<Block>(Block{nullptr, size, 0, nullptr});
        free_.try_emplace(size, nullptr);  // so that giving back needs no memory
        const std::size_t alignment = size >= 2 * huge_page ? huge_page : 64;
        if (posix_memalign(&made->data, alignment, size) != 0) throw std::bad_alloc();
        // Fewer pages to fault in and to find; the kernel may decline.
        if (alignment == huge_page) madvise(made->data, size, MADV_HUGEPAGE);
        return made.release();
    }

    static void give_back(void* context);

    c10::Allocator* upstream_;
    mutable std::mutex mutex_;
    mutable std::map<std::size_t, Block*> free_;  // by size, the one given back last first
    std::uint64_t step_ = 0;

    friend KeepingAllocator& allocator();
    friend void lock_for_fork();
    friend void unlock_after_fork();
};

// A thread that does not come along must not keep the lock.
void lock_for_fork();
void unlock_after_fork();

/// In place for the rest of the process, as torch keeps pointers to it; the library that holds this
/// code is therefore never unloaded (-z nodelete).
KeepingAllocator& allocator() {
    static KeepingAllocator* const only = [] {
        auto* made = new KeepingAllocator(c10::GetCPUAllocator());
        c10::SetCPUAllocator(made, /*priority=*/100);
        pthread_atfork(&lock_for_fork, &unlock_after_fork, &unlock_after_fork);
        return made;
    }();
    return *only;
}

void lock_for_fork() { allocator().mutex_.lock(); }
void unlock_after_fork() { allocator().mutex_.unlock(); }

void KeepingAllocator::give_back(void* context) {
    auto* block = static_cast<Block*>(context);
    KeepingAllocator& only = allocator();
    const std::lock_guard<std::mutex> lock(only.mutex_);
    block->last_step = only.step_;
    Block*& first = only.free_.find(block->size)->second;
    block->next = first;
    first = block;
}

}  // namespace

KeptTensorMemory::KeptTensorMemory(Of of) : of_(of) {
    allocator();
    ++depth;
}

KeptTensorMemory::~KeptTensorMemory() {
    if (--depth == 0 && of_ == Of::step) allocator().end_step();
}

}  // namespace torchml
