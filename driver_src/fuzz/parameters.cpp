// Any bytes as a parameter file: must give an Error that names the file, or valid parameters.

#include "base/parameters.hpp"

#include <cmath>
#include <cstdint>
#include <set>
#include <string>

#include "base/elements.hpp"
#include "base/error.hpp"
#include "expect.hpp"

using torchml::fuzz::expect;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    try {
        const torchml::Parameters parameters = torchml::parse_parameters(text, "fuzzed.param");
        const auto& elements = parameters.elements;
        expect(!elements.empty(), "at least one element");
        for (const auto& element : elements) {
            expect(torchml::atomic_number(element) != 0, "elements that exist");
        }
        expect(std::set<std::string>(elements.begin(), elements.end()).size() == elements.size(),
               "each element once");
        expect(std::isfinite(parameters.cutoff) && parameters.cutoff > 0.0, "a positive cutoff");
        expect(std::isfinite(parameters.influence_distance()), "a finite influence distance");
        expect(parameters.n_layers >= 1, "at least one layer");
        expect(!parameters.model_file.empty(), "a model file's name");
        expect(!parameters.descriptor.empty(), "a descriptor's name, or None");
    } catch (const torchml::Error& problem) {
        expect(std::string(problem.what()).rfind("parameter file fuzzed.param", 0) == 0,
               "a message that names the file");
    }
    return 0;
}
