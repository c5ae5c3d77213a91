// Any bytes as a descriptor file: must give an Error that names the file, or valid settings. The
// first byte chooses the model's elements.

#include <cmath>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "descriptors/descriptor_file.hpp"
#include "expect.hpp"

namespace {

using namespace torchml;
using fuzz::expect;

void check(const PairCutoffs& cutoffs, int n_elements) {
    expect(cutoffs.n_species == n_elements, "cutoffs for all the model's elements");
    for (int a = 0; a < n_elements; ++a) {
        for (int b = 0; b < n_elements; ++b) {
            expect(std::isfinite(cutoffs.of(a, b)) && cutoffs.of(a, b) > 0.0, "positive cutoffs");
            expect(cutoffs.of(a, b) == cutoffs.of(b, a), "one cutoff for both directions");
        }
    }
}

void check(const SymmetryFunctionSettings& settings, int n_elements) {
    check(settings.cutoffs, n_elements);
    expect(!settings.functions.empty(), "at least one symmetry function");
    for (const auto& function : settings.functions) {
        expect(function.kind >= 1 && function.kind <= 5, "g1 to g5");
        for (const double value : function.parameters) {
            expect(std::isfinite(value), "finite parameters");
        }
    }
}

void check(const BispectrumSettings& settings, int n_elements) {
    check(settings.cutoffs, n_elements);
    expect(settings.twojmax >= 0 && settings.twojmax <= 100, "a possible twojmax");
    expect(settings.diagonal_style >= 0 && settings.diagonal_style <= 3, "a possible style");
    expect(std::isfinite(settings.rfac0) && std::isfinite(settings.rmin0), "finite radii");
    expect(settings.weights.size() == static_cast<std::size_t>(n_elements), "a weight a species");
    for (const double weight : settings.weights) expect(std::isfinite(weight), "finite weights");
}

void check(const SoapSettings& settings, int n_elements) {
    expect(settings.n_species == n_elements, "the model's elements");
    expect(settings.n_max >= 1 && settings.l_max >= 0, "a possible basis");
    expect(std::isfinite(settings.cutoff) && settings.cutoff > 0.0, "a positive cutoff");
    expect(std::isfinite(settings.eta) && settings.eta > 0.0, "a positive eta");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::vector<std::vector<std::string>> models = {
        {"Si"}, {"C", "Si"}, {"Ni", "H", "O"}};
    if (size == 0) return 0;
    const auto& elements = models[data[0] % models.size()];
    const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
    try {
        const DescriptorFile file = parse_descriptor_file(text, "fuzzed.dat", elements);
        const auto n_elements = static_cast<int>(elements.size());
        std::visit([&](const auto& settings) { check(settings, n_elements); }, file.settings);
        const auto& [mean, deviation] = file.normalisation;
        expect(mean.size() == deviation.size(), "a deviation for each mean");
        for (const double value : mean) expect(std::isfinite(value), "finite means");
        for (const double value : deviation) {
            expect(std::isfinite(value) && value > 0.0, "positive deviations");
        }
    } catch (const Error& problem) {
        expect(std::string(problem.what()).rfind("descriptor file fuzzed.dat", 0) == 0,
               "a message that names the file");
    }
    return 0;
}
