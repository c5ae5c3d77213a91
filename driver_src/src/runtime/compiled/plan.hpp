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
/// Values are numbered: first the model's arguments, then what the steps make. A package's
/// description has a line `step ENTRY JSON` for each step, in the order in which they run:
///
///     {"select": 6, "argument": 4, "index": 0}        value 6 is row 0 of argument 4
///     {"zeros": 7, "type": "float64", "sizes": [{"argument": 0, "axis": 0}, 64]}
///                                                     value 7; sizes: numbers, or an argument's
///     {"exchange": 8, "of": 5, "backward": false}     value 8 is value 5, a row for each node,
///     after
///                                                     an exchange between ranks: of features, or
///                                                     of their gradients
///     {"part": "NAME", "block": 0, "inputs": [{"value": 1}, {"value": 5}],
///      "outputs": [{"value": 8}, {"value": 9}]}       runs a part once, on whole values
///     {"part": "NAME", "block": 1024, "inputs": [{"value": 6, "rows": true}, {"value": 8}],
///      "outputs": [{"value": 10, "rows": true}, {"value": 7, "add_at": 6}]}
///                                                     runs a part on at most 1024 rows at a time:
///                                                     of value 6 a block, of value 8 everything;
///                                                     gives a block of value 10, and rows to add
///                                                     to those rows of value 7 that value 6 names
///     {"return": [8, 9]}                              the last step: the entry's results
///
/// Rows that are zero, or that nothing reads, need not be computed (plan_rows.hpp):
///
/// - an input's `"read_at": [6, 5]`: the part reads no other rows than values 6 and 5 name;
/// - an output's `"zero_where": [7], "one_where": [5]`: a row is zero if the same rows of value 7
///   are zero and those of argument 5 are one.
class Plan {
  public:
    /// Runs the part of a number (in the order of `parts()`) on inputs; several threads may call it
    /// at the same time.
    using Run =
        std::function<std::vector<at::Tensor>(std::size_t part, std::vector<at::Tensor>& inputs)>;

    /// lines: the JSON of each step. arguments: the model's. file: for messages. Throws Error if a
    /// step is invalid, or refers to a value that does not exist yet.
    Plan(const std::vector<std::string>& lines, const std::vector<PackageArgument>& arguments,
         const std::string& file);

    /// Names of the parts.
    const std::vector<std::string>& parts() const { return parts_; }

    /// How many results a part gives.
    std::size_t n_outputs(std::size_t part) const;

    /// How many results there are.
    std::size_t n_results() const { return results_.size(); }

    /// Whether there is a step at which ranks exchange features.
    bool exchanges() const;

    /// Turns later evaluations into a check of the plan: blocks have at most `largest_block` rows,
    /// and rows that nothing should read are NaN, which shows up in the results if something does.
    void check(std::int64_t largest_block);

    /// Returns the results; sums do not depend on the number of threads. arguments: with the sizes
    /// that the package describes. Throws Error if a part names rows that do not exist, or if its
    /// tensors do not fit the steps, and passes on what `run` throws.
    std::vector<at::Tensor> evaluate(const std::vector<at::Tensor>& arguments, const Run& run);

  private:
    enum class Kind : std::uint8_t { select, zeros, exchange, part };
    enum class Made : std::uint8_t { whole, rows, sum };

    struct Input {
        std::size_t value = 0;
        bool split = false;
        bool by_index = false;  ///< only the rows that these name are read:
        std::vector<std::size_t> rows_of = {};
    };
    struct Output {
        std::size_t value = 0;
        Made made = Made::whole;
        std::size_t at = 0;        ///< of a sum: the value that names rows
        bool zeros_known = false;  ///< a row is zero where all of these are zero, or one:
        std::vector<std::size_t> zero_where = {}, one_where = {};
    };
    struct Size {
        std::int64_t number;  ///< or, of an argument, the axis
        std::int64_t argument;
    };
    struct Step {
        Kind kind = Kind::part;
        std::size_t value = 0, argument = 0, part = 0;  ///< argument: any value, of an exchange
        bool backward = false;                          ///< of an exchange: of gradients
        std::int64_t index = 0, block = 0;
        at::ScalarType type = at::kDouble;
        std::vector<Size> sizes;
        std::vector<Input> inputs;
        std::vector<Output> outputs;
        std::vector<std::size_t> done;  ///< values that no later step needs
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
