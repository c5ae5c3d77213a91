#include "runtime/compiled/plan.hpp"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "runtime/compiled/plan_rows.hpp"
#include "runtime/compiled/plan_value.hpp"
#include "runtime/memory/tensor_memory.hpp"
#include "runtime/messages.hpp"
#include "torch_ops/exchange.hpp"

namespace torchml {

namespace {

/// Rows; for fewer, starting a thread costs more than it gains.
constexpr std::int64_t smallest_block = 64;

std::int64_t quotient(std::int64_t rows, std::int64_t shares) {
    return (rows + shares - 1) / shares;
}

/// Adds rows of `source` to those rows of `sum`, from `first` up to `last`, which `index` names.
template <class Number>
void add_rows(const at::Tensor& sum, const at::Tensor& index, const at::Tensor& source,
              std::int64_t first, std::int64_t last) {
    const std::int64_t n = index.size(0);
    const std::int64_t width = n > 0 ? source.numel() / n : 0;
    const auto* to = index.data_ptr<std::int64_t>();
    const auto* from = source.data_ptr<Number>();
    auto* into = sum.data_ptr<Number>();
    for (std::int64_t row = 0; row < n; ++row, from += width) {
        if (to[row] < first || to[row] >= last) continue;
        Number* total = into + to[row] * width;
        for (std::int64_t k = 0; k < width; ++k) total[k] += from[k];
    }
}

void add_rows_of_any_type(const at::Tensor& sum, const at::Tensor& index, const at::Tensor& source,
                          std::int64_t first, std::int64_t last) {
    switch (sum.scalar_type()) {
        case at::kDouble:
            return add_rows<double>(sum, index, source, first, last);
        case at::kFloat:
            return add_rows<float>(sum, index, source, first, last);
        case at::kHalf:
            return add_rows<at::Half>(sum, index, source, first, last);
        case at::kBFloat16:
            return add_rows<at::BFloat16>(sum, index, source, first, last);
        case at::kLong:
            return add_rows<std::int64_t>(sum, index, source, first, last);
        default:
            fail("a compiled model adds up numbers of type ", c10::toString(sum.scalar_type()),
                 ", which this driver does not support. Compile it again with `torchml-install "
                 "model "
                 "compile`.");
    }
}

}  // namespace

/// Reads the steps of a plan.
class Plan::Reader {
  public:
    Reader(Plan& plan, const std::vector<PackageArgument>& arguments, const std::string& file)
        : plan_(plan), arguments_(arguments), file_(file) {
        known_.assign(arguments.size(), true);
    }

    void read(const std::string& line) {
        line_ = line;
        const auto step = parse_json(line);
        if (!step || !plan_.results_.empty()) refuse();
        if (step->find("select") != nullptr) {
            read_select(*step);
        } else if (step->find("zeros") != nullptr) {
            read_zeros(*step);
        } else if (step->find("exchange") != nullptr) {
            read_exchange(*step);
        } else if (step->find("part") != nullptr) {
            read_part(*step);
        } else {
            require_keys(*step, {"return"});
            plan_.results_ = known_list(of(*step, "return"));
            if (plan_.results_.empty()) refuse();
        }
    }

    std::size_t n_values() const { return known_.size(); }

  private:
    [[noreturn]] void refuse() const {
        fail("package ", file_, " has an invalid step: '", line_,
             "'. Compile the model again with `torchml-install model compile`.");
    }

    /// A key that is not known may change what a step means.
    void require_keys(const Json& object, const std::vector<std::string>& known) const {
        const bool fits = object.kind == Json::Kind::object &&
                          std::all_of(object.keys.begin(), object.keys.end(), [&](const auto& key) {
                              return std::count(known.begin(), known.end(), key) > 0;
                          });
        if (!fits) refuse();
    }

    const Json& of(const Json& object, const char* key) const {
        const Json* found = object.find(key);
        if (found == nullptr) refuse();
        return *found;
    }

    const std::vector<Json>& items(const Json& json) const {
        if (json.kind != Json::Kind::array) refuse();
        return json.items;
    }

    const std::string& text(const Json& json) const {
        if (json.kind != Json::Kind::text || json.text.empty()) refuse();
        return json.text;
    }

    std::int64_t number(const Json& json) const {
        if (json.kind != Json::Kind::number) refuse();
        return json.number;
    }

    /// Whether an object has the key, which is true.
    bool is_set(const Json& object, const char* key) const {
        const Json* found = object.find(key);
        if (found != nullptr && !found->truth) refuse();
        return found != nullptr;
    }

    std::size_t known(const Json& json) const {
        const auto value = static_cast<std::size_t>(number(json));
        if (value >= known_.size() || !known_[value]) refuse();
        return value;
    }

    std::size_t argument(const Json& json) const {
        const std::size_t value = known(json);
        if (value >= plan_.n_arguments_) refuse();
        return value;
    }

    std::vector<std::size_t> known_list(const Json& json) const {
        std::vector<std::size_t> values;
        for (const Json& item : items(json)) values.push_back(known(item));
        return values;
    }

    /// A value that this step makes.
    std::size_t made(const Json& json) {
        constexpr std::size_t most = 100000;
        const auto value = static_cast<std::size_t>(number(json));
        if (value >= most || (value < known_.size() && known_[value])) refuse();
        if (value >= known_.size()) known_.resize(value + 1, false);
        known_[value] = true;
        return value;
    }

    void read_select(const Json& json) {
        require_keys(json, {"select", "argument", "index"});
        Step step;
        step.kind = Kind::select;
        step.argument = argument(of(json, "argument"));
        step.index = number(of(json, "index"));
        const auto& sizes = arguments_[step.argument].sizes;
        if (sizes.empty() || step.index >= sizes[0]) refuse();  // also where sizes[0] is any
        step.value = made(of(json, "select"));
        plan_.steps_.push_back(std::move(step));
    }

    void read_zeros(const Json& json) {
        require_keys(json, {"zeros", "type", "sizes"});
        Step step;
        step.kind = Kind::zeros;
        step.value = made(of(json, "zeros"));
        const auto type = scalar_type_called(text(of(json, "type")));
        if (!type) refuse();
        step.type = *type;
        for (const Json& size : items(of(json, "sizes"))) {
            if (size.kind == Json::Kind::number) {
                step.sizes.push_back({size.number, -1});
                continue;
            }
            require_keys(size, {"argument", "axis"});
            const auto value = argument(of(size, "argument"));
            const auto axis = number(of(size, "axis"));
            if (static_cast<std::size_t>(axis) >= arguments_[value].sizes.size()) refuse();
            step.sizes.push_back({axis, static_cast<std::int64_t>(value)});
        }
        sums_.push_back(step.value);
        plan_.steps_.push_back(std::move(step));
    }

    void read_exchange(const Json& json) {
        require_keys(json, {"exchange", "of", "backward"});
        Step step;
        step.kind = Kind::exchange;
        step.argument = known(of(json, "of"));
        const Json& backward = of(json, "backward");
        if (backward.kind != Json::Kind::truth) refuse();
        step.backward = backward.truth;
        step.value = made(of(json, "exchange"));
        plan_.steps_.push_back(std::move(step));
    }

    void read_part(const Json& json) {
        require_keys(json, {"part", "block", "inputs", "outputs"});
        Step step;
        step.kind = Kind::part;
        step.part = plan_.parts_.size();
        plan_.parts_.push_back(text(of(json, "part")));
        step.block = number(of(json, "block"));
        bool by_rows = false;
        for (const Json& item : items(of(json, "inputs"))) {
            step.inputs.push_back(input(item));
            by_rows = by_rows || step.inputs.back().split;
        }
        if (by_rows != (step.block > 0)) refuse();
        for (const Json& item : items(of(json, "outputs"))) {
            step.outputs.push_back(output(item));
            if ((step.outputs.back().made == Made::whole) == by_rows) refuse();
        }
        if (step.outputs.empty()) refuse();
        plan_.steps_.push_back(std::move(step));
    }

    Input input(const Json& json) const {
        require_keys(json, {"value", "rows", "read_at"});
        Input input;
        input.value = known(of(json, "value"));
        input.split = is_set(json, "rows");
        if (const Json* read_at = json.find("read_at")) {
            input.by_index = true;
            input.rows_of = known_list(*read_at);
        }
        if (input.split && input.by_index) refuse();
        return input;
    }

    Output output(const Json& json) {
        require_keys(json, {"value", "rows", "add_at", "zero_where", "one_where"});
        Output output;
        if (const Json* zero_where = json.find("zero_where")) {
            output.zeros_known = true;
            output.zero_where = known_list(*zero_where);
        }
        if (const Json* one_where = json.find("one_where")) {
            if (!output.zeros_known) refuse();
            for (const Json& item : items(*one_where)) output.one_where.push_back(argument(item));
        }
        const bool rows = is_set(json, "rows");
        if (const Json* add_at = json.find("add_at")) {
            output.made = Made::sum;
            output.value = known(of(json, "value"));
            if (rows || std::count(sums_.begin(), sums_.end(), output.value) == 0) refuse();
            output.at = known(*add_at);
        } else {
            output.made = rows ? Made::rows : Made::whole;
            output.value = made(of(json, "value"));
        }
        return output;
    }

    Plan& plan_;
    const std::vector<PackageArgument>& arguments_;
    const std::string& file_;
    std::string line_;
    std::vector<bool> known_;
    std::vector<std::size_t> sums_;  // values that begin as zeros; no others are added to
};

/// Runs one part, block by block.
class Plan::Blocks {
  public:
    Blocks(const Step& step, const Run& run, const Rows& rows, std::vector<PlanValue>& values,
           Workers& workers, bool checking)
        : step_(step), run_(run), values_(values), workers_(workers) {
        const auto first = std::find_if(step.inputs.begin(), step.inputs.end(),
                                        [](const Input& input) { return input.split; });
        division_.rows = values_[first->value].n_rows();
        division_.computed = std::min(division_.rows, rows.computed(step));
        // The same number of blocks for every worker, if there are enough rows.
        const std::int64_t n_workers = Workers::count();
        const std::int64_t rounds =
            std::max<std::int64_t>(1, quotient(division_.computed, step.block * n_workers));
        division_.block = std::clamp(quotient(division_.computed, rounds * n_workers),
                                     std::min(smallest_block, step.block), step.block);
        for (const Input& input : step.inputs) {
            PlanValue& value = values_[input.value];
            input.split ? value.divide(division_) : static_cast<void>(value.whole());
        }
        for (const Output& output : step.outputs) {
            if (output.made == Made::rows) {
                values_[output.value].expect_pieces(division_, rows.read(output.value), checking);
            }
        }
        for (const Output& output : step.outputs) {
            if (output.made != Made::sum) continue;
            values_[output.value].whole();
            values_[output.at].divide(division_);
        }
    }

    void run() {
        const std::int64_t count = division_.blocks();
        const std::int64_t at_a_time = Workers::count();
        sources_.resize(static_cast<std::size_t>(at_a_time) * step_.outputs.size());
        for (std::int64_t first = 0; first < count; first += at_a_time) {
            const std::int64_t n = std::min(at_a_time, count - first);
            workers_.run(n, [&](int, std::int64_t k) { run_block(first + k, k); });
            add_up(first, n);
        }
    }

  private:
    at::Tensor& source(std::int64_t slot, std::size_t output) {
        return sources_[static_cast<std::size_t>(slot) * step_.outputs.size() + output];
    }

    /// `slot`: where the rows to add wait until all blocks of this round are done.
    void run_block(std::int64_t block, std::int64_t slot) {
        const KeptTensorMemory kept_memory(KeptTensorMemory::Of::part_of_step);
        std::vector<at::Tensor> inputs;
        inputs.reserve(step_.inputs.size());
        for (const Input& input : step_.inputs) {
            PlanValue& value = values_[input.value];
            inputs.push_back(input.split ? value.rows(block) : value.whole());
        }
        std::vector<at::Tensor> outputs = run_(step_.part, inputs);
        for (std::size_t k = 0; k < outputs.size(); ++k) {
            const Output& output = step_.outputs[k];
            if (outputs[k].dim() == 0 || outputs[k].size(0) != division_.size(block)) {
                fail(
                    "a part of a compiled model did not return one row for each row that it was "
                    "given. Compile the model again with `torchml-install model compile`.");
            }
            at::Tensor rows = outputs[k].contiguous();
            if (output.made == Made::sum) {
                source(slot, k) = std::move(rows);
            } else {
                values_[output.value].set_piece(block, std::move(rows));
            }
        }
    }

    void add_up(std::int64_t first, std::int64_t n) {
        for (std::size_t k = 0; k < step_.outputs.size(); ++k) {
            const Output& output = step_.outputs[k];
            if (output.made != Made::sum) continue;
            const at::Tensor& sum = values_[output.value].whole();
            const std::int64_t size = sum.size(0);
            std::vector<at::Tensor> indices;
            for (std::int64_t block = 0; block < n; ++block) {
                indices.push_back(values_[output.at].rows(first + block));
                require_rows(sum, indices.back(), source(block, k));
            }
            // Each worker adds to its own rows of the sum, so the order of additions does not
            // depend on the number of workers.
            const std::int64_t shares = n > 1 ? Workers::count() : 1;
            workers_.run(shares, [&](int, std::int64_t share) {
                const std::int64_t begin = size * share / shares;
                const std::int64_t end = size * (share + 1) / shares;
                for (std::int64_t block = 0; block < n; ++block) {
                    add_rows_of_any_type(sum, indices[static_cast<std::size_t>(block)],
                                         source(block, k), begin, end);
                }
            });
            for (std::int64_t block = 0; block < n; ++block) source(block, k).reset();
        }
    }

    /// Rows to add must have the shape and type of the sum's rows, and go to rows that exist.
    static void require_rows(const at::Tensor& sum, const at::Tensor& index,
                             const at::Tensor& source) {
        const bool fits = index.scalar_type() == at::kLong && index.dim() == 1 &&
                          source.scalar_type() == sum.scalar_type() && source.dim() == sum.dim() &&
                          source.size(0) == index.size(0) &&
                          source.sizes().slice(1) == sum.sizes().slice(1);
        if (!fits) {
            fail(
                "a compiled model adds up rows that do not have the shape or type of their sum. "
                "Compile the model again with `torchml-install model compile`.");
        }
        const auto* rows = index.data_ptr<std::int64_t>();
        for (std::int64_t k = 0; k < index.size(0); ++k) {
            if (rows[k] < 0 || rows[k] >= sum.size(0)) {
                fail("a model refers to particle ", rows[k], " of ", sum.size(0), ".");
            }
        }
    }

    const Step& step_;
    const Run& run_;
    std::vector<PlanValue>& values_;
    Workers& workers_;
    std::vector<at::Tensor> sources_;
    Division division_;
};

Plan::Plan(const std::vector<std::string>& lines, const std::vector<PackageArgument>& arguments,
           const std::string& file)
    : file_(file), n_arguments_(arguments.size()), n_values_(arguments.size()) {
    Reader reader(*this, arguments, file);
    for (const std::string& line : lines) reader.read(line);
    if (results_.empty()) {
        fail("package ", file,
             " has steps, but none that returns their results. Compile the model again with "
             "`torchml-install model compile`.");
    }
    n_values_ = reader.n_values();
    find_last_uses();
}

std::size_t Plan::n_outputs(std::size_t part) const {
    for (const Step& step : steps_) {
        if (step.kind == Kind::part && step.part == part) return step.outputs.size();
    }
    return 0;
}

bool Plan::exchanges() const {
    return std::any_of(steps_.begin(), steps_.end(),
                       [](const Step& step) { return step.kind == Kind::exchange; });
}

void Plan::check(std::int64_t largest_block) {
    checking_ = true;
    for (Step& step : steps_) step.block = std::min(step.block, largest_block);
}

void Plan::find_last_uses() {
    std::vector<bool> wanted(n_values_, false);
    for (const std::size_t value : results_) wanted[value] = true;
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
        const auto want = [&](std::size_t value) {
            if (!wanted[value]) step->done.push_back(value);
            wanted[value] = true;
        };
        for (const Output& output : step->outputs) {
            want(output.value);
            if (output.made == Made::sum) want(output.at);
        }
        for (const Input& input : step->inputs) want(input.value);
        if (step->kind == Kind::exchange) want(step->argument);
    }
}

std::vector<at::Tensor> Plan::evaluate(const std::vector<at::Tensor>& arguments, const Run& run) {
    try {
        return take_steps(arguments, run);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& problem) {
        fail<ModelError>("the steps of the compiled model in ", file_,
                         " failed: ", essence(problem));
    }
}

std::vector<at::Tensor> Plan::take_steps(const std::vector<at::Tensor>& arguments, const Run& run) {
    std::vector<PlanValue> values(n_values_);
    for (std::size_t k = 0; k < arguments.size(); ++k) values[k].set(arguments[k]);
    const Rows rows(*this, arguments);
    for (const Step& step : steps_) {
        if (step.kind == Kind::select) {
            values[step.value].set(arguments[step.argument].select(0, step.index));
        } else if (step.kind == Kind::zeros) {
            std::vector<std::int64_t> sizes;
            for (const Size& size : step.sizes) {
                sizes.push_back(
                    size.argument < 0
                        ? size.number
                        : arguments[static_cast<std::size_t>(size.argument)].size(size.number));
            }
            values[step.value].set(at::zeros(sizes, at::TensorOptions().dtype(step.type)));
        } else if (step.kind == Kind::exchange) {
            values[step.value].set(exchange_rows(values[step.argument].whole(), step.backward));
        } else if (step.block > 0) {
            Blocks(step, run, rows, values, workers_, checking_).run();
        } else {
            std::vector<at::Tensor> inputs;
            for (const Input& input : step.inputs) inputs.push_back(values[input.value].whole());
            std::vector<at::Tensor> outputs = run(step.part, inputs);
            for (std::size_t k = 0; k < outputs.size(); ++k) {
                values[step.outputs[k].value].set(outputs[k].contiguous());
            }
        }
        for (const std::size_t value : step.done) values[value].reset();
    }
    std::vector<at::Tensor> results;
    for (const std::size_t value : results_) results.push_back(values[value].whole());
    return results;
}

}  // namespace torchml
