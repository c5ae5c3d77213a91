#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace torchml {

/// While it lives, `type` is torch's default type: that of tensors which a model makes without
/// naming one (`torch.zeros(n)`), and of quotients of whole numbers. A model means the one that it
/// was written under. When the last one ends, also by an exception, the host's comes back.
///
/// Torch has one default type for the whole process, and the threads of its backward passes have
/// the same. So potentials that need the same type compute at the same time, and others wait for
/// their turn, in the order in which they came, whichever of our libraries they belong to (built by
/// GCC; with other compilers each library's potentials know of each other only). A thread that
/// holds one may make another: the outer one's type remains.
///
/// The host's own use of torch on other threads meanwhile cannot be protected: it sees this type,
/// if its own is another. If the host sets its default type meanwhile, its choice stays.
class DefaultType {
  public:
    explicit DefaultType(c10::ScalarType type);
    ~DefaultType();
    DefaultType(const DefaultType&) = delete;
    DefaultType& operator=(const DefaultType&) = delete;

  private:
    std::int64_t generation_;  // of the process: a fork holds nothing
    bool nested_;
};

}  // namespace torchml
