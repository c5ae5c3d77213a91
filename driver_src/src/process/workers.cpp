#include "process/workers.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>

#include <algorithm>
#include <atomic>

namespace torchml {

int Workers::count() { return std::max(at::get_num_threads(), 1); }

void Workers::each(c10::function_ref<void()> work) {
    at::Tensor numbers = at::arange(count(), at::kLong);
    // With one number per thread, torch gives each thread one of them.
    at::TensorIterator::nullary_op(numbers).for_each(
        [&](char**, const std::int64_t*, std::int64_t, std::int64_t) { work(); }, /*grain_size=*/1);
}

void Workers::run(std::int64_t n_pieces,
                  c10::function_ref<void(int worker, std::int64_t piece)> work) {
    const int n = count();
    if (n == 1 || n_pieces <= 1) {
        for (std::int64_t piece = 0; piece < n_pieces; ++piece) work(0, piece);
        return;
    }
    if (!workers_ || workers_->numel() != n) {
        at::Tensor numbers = at::arange(n, at::kLong);
        workers_ = at::TensorIterator::nullary_op(numbers);
    }
    std::atomic<std::int64_t> next{0};
    const auto loop = [&](char** numbers, const std::int64_t* strides, std::int64_t columns,
                          std::int64_t rows) {
        for (std::int64_t k = 0; k < rows * columns; ++k) {
            const char* number = numbers[0] + k % columns * strides[0] + k / columns * strides[1];
            const auto worker = *reinterpret_cast<const std::int64_t*>(number);
            for (std::int64_t piece = next++; piece < n_pieces; piece = next++) {
                work(static_cast<int>(worker), piece);
            }
        }
    };
    workers_->for_each(loop, /*grain_size=*/1);
}

}  // namespace torchml
