#include "runtime/memory/tensor_memory.hpp"

#include <c10/core/CPUAllocator.h>
#include <pthread.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>

#include "runtime/memory/pages.hpp"

namespace torchml {

namespace {

// The C library's heap keeps smaller blocks anyway.
constexpr std::size_t smallest_kept = 64 * 1024;
// Blocks that have been unused for this many steps return to the system.
constexpr std::uint64_t idle_steps = 500;

thread_local int depth = 0;                    // of KeptTensorMemory on this thread
thread_local std::size_t allocated_bytes = 0;  // on this thread, ever

struct Block {
    void* data;
    std::size_t size;
    std::uint64_t last_step;
    Block* next;  // of those that are free and of this size
};

/// Rounds a size up to one of eight between each power of two and the next, so that there are few
/// sizes and blocks rarely grow. What no tensor touches costs addresses, but no memory.
std::size_t rounded(std::size_t size) {
    std::size_t power = smallest_kept;
    while (power <= size / 2) power *= 2;
    const std::size_t grain = std::max(power / 8, page_grain);
    return (size + grain - 1) / grain * grain;
}

class KeepingAllocator final : public c10::Allocator {
  public:
    explicit KeepingAllocator(c10::Allocator* upstream) : upstream_(upstream) {}

    // Torch made this function non-const in 2.4; one of the two overrides it.
    c10::DataPtr allocate(std::size_t size) const {
        allocated_bytes += size;
        if (depth == 0 || size < smallest_kept) return allocate_upstream(size);
        Block* block = take(rounded(size));
        // The context differs from the data on purpose, so that torch refuses to free it by
        // address.
        return {block->data, block, &give_back, c10::Device(c10::DeviceType::CPU)};
    }
    c10::DataPtr allocate(std::size_t size) {
        return static_cast<const KeepingAllocator*>(this)->allocate(size);
    }
    c10::DeleterFnPtr raw_deleter() const { return upstream_->raw_deleter(); }
    // Torch 2.1 and later require this function.
    void copy_data(void* target, const void* source, std::size_t count) const {
        std::memcpy(target, source, count);
    }

    void end_step() {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++step_;
        if (step_ % idle_steps != 0) return;
        unmap_free([this](const Block& block) { return block.last_step + idle_steps < step_; });
    }

    void add_user() {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++users_;
    }

    void remove_user() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (--users_ == 0) unmap_all_free();
    }

  private:
    c10::DataPtr allocate_upstream(std::size_t size) const {
        try {
            return upstream_->allocate(size);
        } catch (const std::exception&) {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!unmap_all_free()) throw;
        }
        return upstream_->allocate(size);
    }

    Block* take(std::size_t size) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        Block* block = take_larger(size);
        if (block == nullptr) block = take_smaller(size);
        return block == nullptr ? make(size) : block;
    }

    /// Takes a kept block up to twice as large; the pages of a new one would have to be faulted in.
    Block* take_larger(std::size_t size) const {
        const auto end = free_.upper_bound(2 * size);
        for (auto kept = free_.lower_bound(size); kept != end; ++kept) {
            if (kept->second != nullptr) return take_first(kept->second);
        }
        return nullptr;
    }

    /// Enlarges a block at least half as large. When neighbour counts grow, all tensors of edges
    /// outgrow their blocks in the same step, and new blocks for all of them would make that step
    /// slow.
    Block* take_smaller(std::size_t size) const {
        for (auto kept = free_.lower_bound(size); kept != free_.begin();) {
            --kept;
            if (kept->first < size / 2) break;
            if (kept->second == nullptr) continue;
            free_.try_emplace(size, nullptr);  // so that returning the block needs no memory
            void* const data = grow_pages(kept->second->data, kept->first, size);
            if (data == nullptr) break;
            Block* const block = take_first(kept->second);
            block->data = data;
            block->size = size;
            return block;
        }
        return nullptr;
    }

    static Block* take_first(Block*& first) {
        Block* const block = first;
        first = block->next;
        return block;
    }

    Block* make(std::size_t size) const {
        auto made = std::make_unique<Block>(Block{nullptr, size, 0, nullptr});
        free_.try_emplace(size, nullptr);  // so that returning the block needs no memory
        made->data = map_pages(size);
        if (made->data == nullptr && unmap_all_free()) made->data = map_pages(size);
        if (made->data == nullptr) throw std::bad_alloc();
        return made.release();
    }

    static void unmap(Block* block) {
        unmap_pages(block->data, block->size);
        delete block;
    }

    /// Unmaps all free blocks; returns whether there were any. The caller holds the lock.
    bool unmap_all_free() const {
        return unmap_free([](const Block&) { return true; });
    }

    template <class Condition>
    bool unmap_free(const Condition& condition) const {
        bool any = false;
        for (auto& [size, first] : free_) {
            for (Block** place = &first; *place != nullptr;) {
                if (condition(**place)) {
                    unmap(take_first(*place));
                    any = true;
                } else {
                    place = &(*place)->next;
                }
            }
        }
        return any;
    }

    static void give_back(void* context);

    c10::Allocator* upstream_;
    mutable std::mutex mutex_;
    mutable std::map<std::size_t, Block*> free_;  // by size, the one returned last first
    std::uint64_t step_ = 0;
    std::int64_t users_ = 0;

    friend KeepingAllocator& allocator();
    friend void lock_for_fork();
    friend void unlock_after_fork();
};

// Keeps a thread that the fork leaves behind from holding the lock.
void lock_for_fork();
void unlock_after_fork();

/// Never destroyed, since torch keeps pointers to it; the library that contains this code is
/// therefore never unloaded (-z nodelete).
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
    if (only.users_ == 0) return KeepingAllocator::unmap(block);
    block->last_step = only.step_;
    Block*& first = only.free_.find(block->size)->second;
    block->next = first;
    first = block;
}

}  // namespace

TensorMemoryUser::TensorMemoryUser() { allocator().add_user(); }
TensorMemoryUser::~TensorMemoryUser() { allocator().remove_user(); }

KeptTensorMemory::KeptTensorMemory(Of of) : of_(of), allocated_before_(allocated_bytes) {
    allocator();
    ++depth;
}

std::size_t KeptTensorMemory::allocated() const { return allocated_bytes - allocated_before_; }

KeptTensorMemory::~KeptTensorMemory() {
    if (--depth == 0 && of_ == Of::step) allocator().end_step();
}

}  // namespace torchml
