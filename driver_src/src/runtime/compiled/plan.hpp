#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "process/workers.hpp"
#include "runtime/compiled/package.hpp"

namespace torchml {

/// An entry of a package that consists of parts, some of which take rows (edges, say) a block at a
/// time: what a block needs stays in a core's cache, and cores share the blocks.
///
/// Values are numbered: first the model's arguments, then what the steps make. In a package's
/// description, a line for each step, in the order in which they run:
///
///     step ENTRY select 6 4 0                 value 6 is argument 4's [0]
///     step ENTRY zeros 7 float64 @0.0 64      value 7; sizes: a number, or @ARGUMENT.AXIS
///     step ENTRY part NAME 0 | 1 5 | 8 9      runs a part on values 1 and 5, which gives 8 and 9
///     step ENTRY part NAME 1024 | 6* 8 | 10* 7+6    by blocks of 1024 rows: *, of these; its
///                                             second result is added to those rows of value 7
///                                             that value 6 names
///     step ENTRY return 8 9                   the last one: the entry's results
///
/// What is not read or zero need not be computed (plan_rows.hpp): of a whole input, 8@6,5 are those
/// rows that values 6 and 5 name; of an output, 10*~7,!5 (or 7+6~7,!5) are rows that are zero where
/// those of value 7 are, and those of argument 5 are one.
class Plan {
  public:
    /// Runs the part of a number (in the order of `parts()`) on inputs; several threads may call it
    /// at the same time.
    using Run =
        std::function<std::vector<at::Tensor>(std::size_t part, std::vector<at::Tensor>& inputs)>;

    /// lines: without "step ENTRY". arguments: the model's. file: for messages. Throws Error if the
    /// lines make no sense.
    Plan(const std::vector<std::string>& lines, const std::vector<PackageArgument>& arguments,
         const std::string& file);

    /// Names of the parts.
    const std::vector<std::string>& parts() const { return parts_; }

    /// How many results a part gives.
    std::size_t n_outputs(std::size_t part) const;

    /// How many results there are.
    std::size_t n_results() const { return results_.size(); }

    /// Makes what follows a check of the plan rather than a quick run: blocks have at most so many
    /// rows, and rows that are said to be read by nothing are not numbers, which shows if they are.
    void check(std::int64_t largest_block);

    /// The results. Sums do not depend on the number of threads. arguments: of the sizes that the
    /// package describes. Throws Error if a part names rows that do not exist, or its tensors do
    /// not fit the steps, and what `run` throws.
    std::vector<at::Tensor> evaluate(const std::vector<at::Tensor>& arguments, const Run& run);

  private:
    enum class Kind : std::uint8_t { select, zeros, part };
    enum class Made : std::uint8_t { whole, rows, sum };

    struct Input {
        std::size_t value = 0;
        bool split = false;
        bool by_index = false;  ///< nothing is read but the rows that these name:
        std::vector<std::size_t> rows_of = {};
    };
    struct Output {
        std::size_t value = 0;
        Made made = Made::whole;
        std::size_t at = 0;        ///< of a sum: the value that names rows
        bool zeros_known = false;  ///< rows are zero where those of all these are, and one:
        std::vector<std::size_t> zero_where = {}, one_where = {};
    };
    struct Size {
        std::int64_t number;  ///< or, of an argument, the axis
        std::int64_t argument;
    };
    struct Step {
        Kind kind = Kind::part;
        std::size_t value = 0, argument = 0, part = 0;
        std::int64_t index = 0, block = 0;
        at::ScalarType type = at::kDouble;
        std::vector<Size> sizes;
        std::vector<Input> inputs;
        std::vector<Output> outputs;
        std::vector<std::size_t> done;  ///< values that no later step wants
    };
    class Reader;
    class Rows;
    class Blocks;

    void find_last_uses();
    std::vector<at::Tensor> take_steps(const std::vector<at::Tensor>& arguments, const Run& run);

    std::string file_;
    std::vector<Step> steps_;
    std::vector<std::string> parts_;
    std::vector<std::size_t> results_;
    std::size_t n_arguments_, n_values_;
    bool checking_ = false;
    Workers workers_;
};

}  // namespace torchml
