#pragma once

#include <cstddef>

namespace torchml {

/// Memory directly from the system. A page costs time when it is first written to, and nothing
/// before. All three functions take sizes that are multiples of page_grain.
constexpr std::size_t page_grain = 64 * 1024;  // the largest page of any system

/// Maps new memory; nullptr if there is none. Large blocks are aligned for huge pages.
void* map_pages(std::size_t size) noexcept;

/// Enlarges `size` bytes at `data`, usually at another address: pages are moved, not copied, and
/// only new ones must be faulted in. nullptr if there is no memory; nothing has then changed.
void* grow_pages(void* data, std::size_t size, std::size_t larger) noexcept;

void unmap_pages(void* data, std::size_t size) noexcept;

}  // namespace torchml
