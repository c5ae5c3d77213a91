#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace torchml {

/// During its lifetime, `type` is torch's default type: the type of tensors that a model makes
/// without naming one (`torch.zeros(n)`), and of quotients of whole numbers. A model expects the
/// default type under which it was written. When the last object is destroyed, also by an
/// exception, the host's default type returns.
///
/// Torch has one default type for the whole process, the threads of its backward passes included.
/// So potentials that need the same type compute at the same time, and others wait for their turn,
/// in order of arrival, whichever of the driver's libraries they belong to (if built by GCC; with
/// other compilers, only potentials of the same library wait for each other). A thread that holds
/// one object may make another: the outer one's type remains.
///
/// The host's own use of torch on other threads cannot be protected meanwhile: it sees this type.
/// If the host sets its default type meanwhile, its choice persists.
class DefaultType {
  public:
    explicit DefaultType(c10::ScalarType type);
    ~DefaultType();
    DefaultType(const DefaultType&) = delete;
    DefaultType& operator=(const DefaultType&) = delete;

  private:
    std::int64_t generation_;  // of the process; a forked process holds nothing
    bool nested_;
};

}  // namespace torchml
