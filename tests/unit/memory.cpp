// Memory that is kept between steps: pages from the system, and large tensors.

#include <c10/core/CPUAllocator.h>

#include <cstring>
#include <thread>

#include "runtime/memory/pages.hpp"
#include "runtime/memory/tensor_memory.hpp"
#include "support.hpp"

namespace {

using namespace torchml;

constexpr std::size_t large = 1 << 20;

/// The address of the memory of a tensor that was made and freed at once.
void* address(std::size_t size) { return c10::GetCPUAllocator()->allocate(size).get(); }

}  // namespace

TEST_CASE("pages keep their contents when they grow") {
    auto* data = static_cast<unsigned char*>(map_pages(page_grain));
    REQUIRE(data != nullptr);
    std::memset(data, 7, page_grain);
    data = static_cast<unsigned char*>(grow_pages(data, page_grain, 4 * page_grain));
    REQUIRE(data != nullptr);
    for (std::size_t k = 0; k < page_grain; k += 1000) CHECK(data[k] == 7);
    CHECK(data[page_grain] == 0);
    CHECK(data[4 * page_grain - 1] == 0);
    unmap_pages(data, 4 * page_grain);
}

TEST_CASE("pages that the system does not have are a null pointer") {
    const std::size_t absurd = (std::size_t{1} << 62) / page_grain * page_grain;
    CHECK(map_pages(absurd) == nullptr);
}

TEST_CASE("a step's large tensors get the memory of the step before") {
    const TensorMemoryUser user;
    void* first = nullptr;
    {
        const KeptTensorMemory kept;
        first = address(large);
    }
    const KeptTensorMemory kept;
    CHECK(address(large) == first);
    CHECK(address(large - 1000) == first);  // a little less fits, too
}

TEST_CASE("the memory of a thread's tensors is counted on that thread") {
    const TensorMemoryUser user;
    const KeptTensorMemory kept;
    CHECK(kept.allocated() == 0);
    address(large);
    address(100);
    CHECK(kept.allocated() == large + 100);
    std::thread([] { address(large); }).join();
    CHECK(kept.allocated() == large + 100);
}

TEST_CASE("kept memory can be written to its last byte") {
    const TensorMemoryUser user;
    const KeptTensorMemory kept;
    for (const std::size_t size : {large, large + 1, 3 * large - 1}) {
        const auto data = c10::GetCPUAllocator()->allocate(size);
        std::memset(data.get(), 1, size);
        CHECK(static_cast<unsigned char*>(data.get())[size - 1] == 1);
    }
}
