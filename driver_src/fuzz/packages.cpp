// Any bytes as the description in a compiled model: must give an Error with a message, or a valid
// description, whose steps run on tensors of the described shapes or fail with an Error.

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "expect.hpp"
#include "runtime/compiled/package.hpp"
#include "runtime/compiled/plan.hpp"

using torchml::fuzz::expect;

namespace {

constexpr std::int64_t rows = 3;
constexpr std::int64_t largest = 64;  // of sizes, so that the fuzzer does not run out of memory

bool is_small(const torchml::PackageDescription& description) {
    return std::all_of(description.arguments.begin(), description.arguments.end(),
                       [](const torchml::PackageArgument& argument) {
                           return argument.sizes.size() <= 3 &&
                                  std::all_of(argument.sizes.begin(), argument.sizes.end(),
                                              [](std::int64_t size) { return size <= largest; });
                       });
}

/// Whether there are numbers of more than two digits, which may request any amount of memory.
bool has_large_numbers(const std::vector<std::string>& steps) {
    return std::any_of(steps.begin(), steps.end(), [](const std::string& step) {
        std::size_t digits = 0;
        return std::any_of(step.begin(), step.end(), [&](char c) {
            digits = c >= '0' && c <= '9' ? digits + 1 : 0;
            return digits > 2;
        });
    });
}

void run(const torchml::PackageDescription& description, torchml::Plan& plan) {
    std::vector<at::Tensor> arguments;
    for (const torchml::PackageArgument& argument : description.arguments) {
        std::vector<std::int64_t> sizes = argument.sizes;
        for (std::int64_t& size : sizes) size = size < 0 ? rows : size;
        arguments.push_back(at::zeros(sizes, at::TensorOptions().dtype(argument.type)));
    }
    const auto results =
        plan.evaluate(arguments, [&](std::size_t part, const std::vector<at::Tensor>& inputs) {
            // As many rows as the part gets, in the type of its first input.
            const bool some = !inputs.empty() && inputs[0].dim() > 0;
            const std::vector<std::int64_t> sizes = {some ? inputs[0].size(0) : rows, 3};
            const auto type = inputs.empty() ? at::kDouble : inputs[0].scalar_type();
            return std::vector<at::Tensor>(plan.n_outputs(part),
                                           at::zeros(sizes, at::TensorOptions().dtype(type)));
        });
    expect(results.size() == plan.n_results(), "as many results as the plan says");
    for (const at::Tensor& result : results) expect(result.defined(), "defined results");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    try {
        const auto description = torchml::parse_description(text, "fuzzed.pt2");
        expect(!description.arguments.empty(), "at least one argument");
        for (const torchml::PackageArgument& argument : description.arguments) {
            for (const std::int64_t one : argument.sizes) expect(one >= -1, "sizes, or any");
        }
        for (const auto& [entry, steps] : description.steps) {
            torchml::Plan plan(steps, description.arguments, "fuzzed.pt2");
            if (!is_small(description) || has_large_numbers(steps)) continue;
            run(description, plan);
            plan.check(/*largest_block=*/2);
            run(description, plan);
        }
    } catch (const torchml::Error& problem) {
        expect(!std::string(problem.what()).empty(), "a message");
    }
    return 0;
}
