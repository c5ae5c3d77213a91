#include "runtime/compiled/plan_rows.hpp"

#include <algorithm>

namespace torchml {

namespace {

std::int64_t largest_and_one(const at::Tensor& numbers) {
    if (numbers.scalar_type() != at::kLong || numbers.dim() != 1) {
        return std::numeric_limits<std::int64_t>::max();
    }
    const at::Tensor list = numbers.contiguous();
    const auto* begin = list.data_ptr<std::int64_t>();
    const auto* end = begin + list.numel();
    return begin == end ? 0 : *std::max_element(begin, end) + 1;
}

}  // namespace

Plan::Rows::Rows(const Plan& plan, const std::vector<at::Tensor>& arguments)
    : arguments_(arguments), not_zero_(plan.n_values_, all), read_(plan.n_values_, 0) {
    for (const Step& step : plan.steps_) {
        if (step.kind == Kind::select) {
            ends_[step.value] = largest_and_one(arguments[step.argument].select(0, step.index));
        } else if (step.kind == Kind::zeros) {
            not_zero_[step.value] = 0;
        } else if (step.kind == Kind::part) {
            find_zeros(step);
        }
    }
    for (const std::size_t value : plan.results_) read_[value] = all;
    for (auto step = plan.steps_.rbegin(); step != plan.steps_.rend(); ++step) {
        if (step->kind == Kind::part) find_read(*step);
        if (step->kind == Kind::exchange) reads(step->argument, all);
    }
}

std::int64_t Plan::Rows::computed(const Step& part) const {
    std::int64_t rows = 0;
    for (const Output& output : part.outputs) {
        std::int64_t needed = not_zero(output);
        if (output.made != Made::sum) needed = std::min(needed, read_[output.value]);
        rows = std::max(rows, needed);
    }
    return rows;
}

void Plan::Rows::find_zeros(const Step& part) {
    for (const Output& output : part.outputs) {
        std::int64_t& rows = not_zero_[output.value];
        rows = output.made == Made::sum ? std::max(rows, end_of(output.at)) : not_zero(output);
    }
}

std::int64_t Plan::Rows::not_zero(const Output& output) const {
    if (!output.zeros_known) return all;
    std::int64_t rows = 0;
    for (const std::size_t value : output.zero_where) rows = std::max(rows, not_zero_[value]);
    for (const std::size_t value : output.one_where) rows = std::max(rows, contributing(value));
    return rows;
}

/// Up to where a vector has other numbers than one.
std::int64_t Plan::Rows::contributing(std::size_t value) const {
    const at::Tensor& numbers = arguments_[value];
    if (numbers.scalar_type() != at::kLong || numbers.dim() != 1) return all;
    const at::Tensor list = numbers.contiguous();
    const auto* number = list.data_ptr<std::int64_t>();
    std::int64_t rows = list.numel();
    while (rows > 0 && number[rows - 1] == 1) --rows;
    return rows;
}

void Plan::Rows::find_read(const Step& part) {
    const std::int64_t rows = part.block > 0 ? computed(part) : all;
    for (const Output& output : part.outputs) {
        if (output.made == Made::sum) reads(output.at, rows);
    }
    for (const Input& input : part.inputs) {
        if (input.split || !input.by_index) {
            reads(input.value, input.split ? rows : all);
            continue;
        }
        for (const std::size_t index : input.rows_of) reads(input.value, end_of(index));
    }
}

/// One more than the largest number of a row of an argument; of other values that is not known.
std::int64_t Plan::Rows::end_of(std::size_t value) const {
    const auto found = ends_.find(value);
    return found == ends_.end() ? all : found->second;
}

void Plan::Rows::reads(std::size_t value, std::int64_t rows) {
    read_[value] = std::max(read_[value], rows);
}

}  // namespace torchml
