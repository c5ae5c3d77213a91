#pragma once

#include <cstddef>

namespace torchml {

/// Memory straight from the system. A page of it costs something when it is first written to, and
/// nothing before. All three are given sizes that are multiples of page_grain.
constexpr std::size_t page_grain = 64 * 1024;  // the largest page of any system

/// nullptr if there is no memory. Large memory is laid out for huge pages.
void* map_pages(std::size_t size) noexcept;

/// Makes `size` bytes at `data` larger, mostly at another address: pages are moved, not copied, and
/// only those that are new have to be faulted in. nullptr if there is no memory; all is then as it
/// was.
void* grow_pages(void* data, std::size_t size, std::size_t larger) noexcept;

void unmap_pages(void* data, std::size_t size) noexcept;

}  // namespace torchml
