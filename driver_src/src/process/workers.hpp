#pragma once

#include <ATen/TensorIterator.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <optional>

namespace torchml {

/// Runs pieces of work on torch's own threads, as many as torch is set to use.
///
/// at::parallel_for is a template: compiled here, it would use this compiler's OpenMP, with a
/// second pool of threads beside libtorch's, or no OpenMP at all. Work inside libtorch's own loops
/// shares libtorch's threads.
class Workers {
  public:
    /// The number of threads that work at a time.
    static int count();

    /// Calls work(worker, piece) for each piece from 0 to `n_pieces` - 1; worker: 0 to count() - 1,
    /// never the same twice at the same time. Any worker may get any piece. Rethrows what work
    /// throws.
    void run(std::int64_t n_pieces, c10::function_ref<void(int worker, std::int64_t piece)> work);

    /// Calls work() once on each of the threads, the calling one included.
    static void each(c10::function_ref<void()> work);

  private:
    std::optional<at::TensorIterator> workers_;  ///< over their numbers
};

}  // namespace torchml
