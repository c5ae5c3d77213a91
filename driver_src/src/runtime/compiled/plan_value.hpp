#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace torchml {

/// How a part takes rows: the first `computed` of `rows`, in blocks of `block`, the last of which
/// may be smaller.
struct Division {
    std::int64_t rows = 0, computed = 0, block = 1;

    /// At least one, if an empty one.
    std::int64_t blocks() const;
    std::int64_t begin(std::int64_t number) const { return number * block; }
    std::int64_t size(std::int64_t number) const;
    bool operator==(const Division& other) const;
};

/// A value of a plan's evaluation: a tensor, or the pieces of one as the blocks of a part made
/// them.
///
/// A later part with the same blocks takes the pieces as they are, which saves writing and reading
/// all of them once more. For whoever wants something else, they are joined.
class PlanValue {
  public:
    void set(at::Tensor whole);

    /// Pieces will come. zeros_to: rows that are not computed are read, as zeros, up to this one.
    /// mark_rest: those after it are not numbers, for checks.
    void expect_pieces(const Division& division, std::int64_t zeros_to, bool mark_rest = false);

    /// Several threads may set different ones at the same time.
    void set_piece(std::int64_t number, at::Tensor rows);

    std::int64_t n_rows() const;

    /// All rows.
    const at::Tensor& whole();

    /// Gets rows(number) ready. Throws Error if there are not division.rows rows.
    void divide(const Division& division);

    /// A block of the last division, or a piece that was set. Several threads may ask at the same
    /// time.
    at::Tensor rows(std::int64_t number) const;

    void reset() { *this = PlanValue(); }

  private:
    at::Tensor whole_;
    std::vector<at::Tensor> pieces_;
    Division division_;
    std::int64_t zeros_to_ = 0;
    bool mark_rest_ = false;
};

}  // namespace torchml
