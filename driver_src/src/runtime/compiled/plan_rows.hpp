#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "runtime/compiled/plan.hpp"

namespace torchml {

/// How many rows of each value, from the first one, a plan has to compute for given arguments.
///
/// Particles come ring by ring. Messages of later layers reach the inner rings only, and energies
/// are asked for contributing particles: what else a model computes of outer rings is not read
/// again, or zero.
class Plan::Rows {
  public:
    static constexpr std::int64_t all = std::numeric_limits<std::int64_t>::max();

    Rows(const Plan& plan, const std::vector<at::Tensor>& arguments);

    /// Of a part that takes rows: how many it has to take.
    std::int64_t computed(const Step& part) const;

    /// Of a value: how many may be read. Those after the computed ones are zero.
    std::int64_t read(std::size_t value) const { return read_[value]; }

  private:
    void find_zeros(const Step& part);
    void find_read(const Step& part);
    std::int64_t not_zero(const Output& output) const;
    std::int64_t contributing(std::size_t value) const;
    std::int64_t end_of(std::size_t value) const;
    void reads(std::size_t value, std::int64_t rows);

    const std::vector<at::Tensor>& arguments_;
    std::vector<std::int64_t> not_zero_;        ///< of each value: all rows after these are zero
    std::vector<std::int64_t> read_;            ///< of each value
    std::map<std::size_t, std::int64_t> ends_;  ///< of rows of arguments: largest number + 1
};

}  // namespace torchml
