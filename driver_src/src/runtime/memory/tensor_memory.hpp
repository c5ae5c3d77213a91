#pragma once

#include <cstddef>

namespace torchml {

/// Code that computes with kept memory holds one of these; when the process's last one is
/// destroyed, the kept memory returns to the system.
class TensorMemoryUser {
  public:
    TensorMemoryUser();
    ~TensorMemoryUser();
    TensorMemoryUser(const TensorMemoryUser&) = delete;
    TensorMemoryUser& operator=(const TensorMemoryUser&) = delete;
};

/// During its lifetime, large CPU tensors that this thread makes get memory that is kept from step
/// to step instead of returned to the system.
///
/// Each step makes the same tensors as the one before. The C library returns large blocks to the
/// system and faults them in again, page by page, which can cost more than the model itself. Users
/// can prevent that with glibc's environment variables; this class does it for the model's own
/// tensors only. Other threads and the host program's tensors are not affected.
class KeptTensorMemory {
  public:
    /// part_of_step: on a thread that helps with a step that another thread ends.
    enum class Of { step, part_of_step };

    explicit KeptTensorMemory(Of of = Of::step);
    ~KeptTensorMemory();
    KeptTensorMemory(const KeptTensorMemory&) = delete;
    KeptTensorMemory& operator=(const KeptTensorMemory&) = delete;

    /// The bytes of all CPU tensors, large and small, that this thread has made since: a measure of
    /// the model's work that is the same in every run.
    std::size_t allocated() const;

  private:
    Of of_;
    std::size_t allocated_before_;
};

}  // namespace torchml
