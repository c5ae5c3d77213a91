#pragma once

#include <cstddef>

namespace torchml {

/// Whoever computes with kept memory holds one; when the last of the process goes, what was kept
/// goes back to the system.
class TensorMemoryUser {
  public:
    TensorMemoryUser();
    ~TensorMemoryUser();
    TensorMemoryUser(const TensorMemoryUser&) = delete;
    TensorMemoryUser& operator=(const TensorMemoryUser&) = delete;
};

/// While it lives, large CPU tensors that this thread makes get memory that is kept from step to
/// step instead of returned to the system.
///
/// A step makes the same tensors as the step before. The C library gives large blocks back to the
/// system and faults them in again, page by page, which can cost more than the model itself. Users
/// can turn that off with glibc's environment variables; this does it for the model's own tensors
/// alone. Other threads, and the host program's own tensors, are served as before.
class KeptTensorMemory {
  public:
    /// part_of_step: on a thread that helps with a step, which another thread ends.
    enum class Of { step, part_of_step };

    explicit KeptTensorMemory(Of of = Of::step);
    ~KeptTensorMemory();
    KeptTensorMemory(const KeptTensorMemory&) = delete;
    KeptTensorMemory& operator=(const KeptTensorMemory&) = delete;

    /// Bytes of all the CPU tensors that this thread has made since, large and small: a measure of
    /// what a model has done, the same in each run.
    std::size_t allocated() const;

  private:
    Of of_;
    std::size_t allocated_before_;
};

}  // namespace torchml
