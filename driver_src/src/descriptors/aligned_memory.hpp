#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace torchml {

/// Doubles aligned to a cache line, for kernels. Growing discards the contents.
class AlignedMemory {
  public:
    double* at_least(std::size_t count) {
        if (count > capacity_) {
            constexpr std::size_t line = 64;
            const std::size_t capacity = count + count / 4;
            capacity_ = 0;  // in case the allocation fails
            memory_.reset();
            memory_.reset(new double[capacity + line / sizeof(double)]);
            capacity_ = capacity;
            const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
            start_ = memory_.get() + (line - address % line) % line / sizeof(double);
        }
        return start_;
    }

  private:
    std::unique_ptr<double[]> memory_;
    double* start_ = nullptr;
    std::size_t capacity_ = 0;
};

}  // namespace torchml
