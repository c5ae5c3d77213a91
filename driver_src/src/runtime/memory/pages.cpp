#include "runtime/memory/pages.hpp"

#include <sys/mman.h>

#include <cstdint>

namespace torchml {

namespace {

constexpr std::size_t huge_page = 2 * 1024 * 1024;

bool wants_huge_pages(std::size_t size) { return size >= 2 * huge_page; }

/// Requests huge pages: fewer to fault in and to look up. The kernel may decline.
void ask_for_huge_pages(void* data, std::size_t size) noexcept {
    if (wants_huge_pages(size)) madvise(data, size, MADV_HUGEPAGE);
}

/// Reserves addresses with a protection, aligned for huge pages if the size is large enough.
/// `spare`: how many more bytes must be available.
void* map(std::size_t size, int protection, std::size_t spare = 0) noexcept {
    if (wants_huge_pages(size)) spare += huge_page;
    void* const found = mmap(nullptr, size + spare, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) return nullptr;
    auto* const begin = static_cast<char*>(found);
    const std::size_t before =
        wants_huge_pages(size) ? -reinterpret_cast<std::uintptr_t>(begin) % huge_page : 0;
    if (before > 0) munmap(begin, before);
    if (before < spare) munmap(begin + before + size, spare - before);
    return begin + before;
}

}  // namespace

void* map_pages(std::size_t size) noexcept {
    void* const data = map(size, PROT_READ | PROT_WRITE);
    if (data != nullptr) ask_for_huge_pages(data, size);
    return data;
}

void* grow_pages(void* data, std::size_t size, std::size_t larger) noexcept {
    // By default, mremap moves memory to addresses at which there can be no huge pages. Until the
    // move, it needs further addresses for the additional memory.
    void* const place = map(larger, PROT_NONE, larger - size);
    if (place == nullptr) return nullptr;
    // If this fails after all, the kernel may have released the place, and another thread may have
    // taken it since: leave it alone, as addresses without memory.
    if (mremap(data, size, larger, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED) {
        return nullptr;
    }
    ask_for_huge_pages(place, larger);
    return place;
}

void unmap_pages(void* data, std::size_t size) noexcept { munmap(data, size); }

}  // namespace torchml
