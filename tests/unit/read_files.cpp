// Prints what the driver reads from parameter and descriptor files, one JSON object for each: its
// values, or an "error". The installer's own readers must find the same.
//
//     torchml_read_files FILE...
//
// Files that end in .dat are descriptor files, all others parameter files. The elements of a
// descriptor file's model are those that the file names, in its order.

#include <algorithm>
#include <cstdio>
#include <string>
#include <variant>
#include <vector>

#include "base/elements.hpp"
#include "base/error.hpp"
#include "base/parameters.hpp"
#include "base/text_stream.hpp"
#include "base/value_lines.hpp"
#include "descriptors/descriptor_file.hpp"

namespace {

using namespace torchml;

std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') result += '\\';
        if (static_cast<unsigned char>(letter) >= ' ') {
            result += letter;
        } else {
            char code[8];
            std::snprintf(code, sizeof code, "\\u%04x", letter);
            result += code;
        }
    }
    return result + "\"";
}

std::string digits(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
}

std::string list(const std::vector<std::string>& words) {
    std::string result;
    for (const std::string& word : words) {
        result.append(result.empty() ? "[" : ", ").append(quoted(word));
    }
    return result.empty() ? "[]" : result + "]";
}

const char* truth(bool value) { return value ? "true" : "false"; }

std::string parameters(const std::string& file) {
    static const char* const preprocessing[] = {"None", "Descriptor", "Graph", "Edges"};
    static const char* const precisions[] = {"\"float64\"", "\"float32\"", "\"float16\"",
                                             "\"bfloat16\""};
    const Parameters read = read_parameters(file);
    const GraphSettings& graph = read.graph;
    std::string text = "{\"elements\": " + list(read.elements);
    text.append(", \"preprocessing\": ")
        .append(quoted(preprocessing[static_cast<int>(read.convention)]));
    text.append(", \"cutoff\": ").append(digits(read.cutoff));
    text.append(", \"n_layers\": ").append(std::to_string(read.n_layers));
    text.append(", \"model_file\": ").append(quoted(read.model_file));
    text.append(", \"returns_forces\": ").append(truth(read.returns_forces));
    text.append(", \"n_inputs\": ").append(std::to_string(read.n_inputs));
    text.append(", \"descriptor\": ").append(quoted(read.descriptor));
    text.append(", \"edge_receiver_row\": ")
        .append(graph.edge_receiver_row ? std::to_string(*graph.edge_receiver_row) : "null");
    text.append(", \"drop_unused_particles\": ").append(truth(graph.drop_unused_particles));
    text.append(", \"precision\": ")
        .append(read.precision ? precisions[static_cast<int>(*read.precision)] : "null");
    text.append(", \"atomic_numbers\": ")
        .append(read.atomic_numbers ? truth(*read.atomic_numbers) : "null");
    text.append(", \"returns_edge_gradient\": ").append(truth(read.returns_edge_gradient));
    return text + "}";
}

std::vector<std::string> elements_in(const std::string& file) {
    ValueLines lines(read_small_file(file, "descriptor file"), file, "");
    std::vector<std::string> found;
    for (std::string line; lines.advance(line);) {
        TextStream words(line);
        for (std::string word; words >> word;) {
            if (atomic_number(word) == 0) continue;
            if (std::find(found.begin(), found.end(), word) == found.end()) found.push_back(word);
        }
    }
    return found;
}

std::string descriptor(const std::string& file) {
    const DescriptorFile read = read_descriptor_file(file, elements_in(file));
    std::string text = "{\"kind\": " + quoted(read.kind);
    double cutoff = 0.0;
    int functions[5] = {};
    if (const auto* soap = std::get_if<SoapSettings>(&read.settings)) {
        cutoff = soap->cutoff;
    } else if (const auto* bispectrum = std::get_if<BispectrumSettings>(&read.settings)) {
        for (const double one : bispectrum->cutoffs.cutoffs) cutoff = std::max(cutoff, one);
    } else {
        const auto& symmetry = std::get<SymmetryFunctionSettings>(read.settings);
        for (const double one : symmetry.cutoffs.cutoffs) cutoff = std::max(cutoff, one);
        for (const auto& function : symmetry.functions) ++functions[function.kind - 1];
    }
    text.append(", \"cutoff\": ").append(digits(cutoff)).append(", \"functions\": {");
    bool first = true;
    for (int kind = 1; kind <= 5; ++kind) {
        if (functions[kind - 1] == 0) continue;
        text.append(first ? "\"g" : ", \"g").append(std::to_string(kind)).append("\": ");
        text.append(std::to_string(functions[kind - 1]));
        first = false;
    }
    return text + "}}";
}

std::string said_of(const std::string& file) {
    const bool is_descriptor = file.size() > 4 && file.compare(file.size() - 4, 4, ".dat") == 0;
    try {
        return is_descriptor ? descriptor(file) : parameters(file);
    } catch (const Error& problem) {
        return "{\"error\": " + quoted(problem.what()) + "}";
    }
}

}  // namespace

int main(int count, char** arguments) {
    for (int k = 1; k < count; ++k) std::puts(said_of(arguments[k]).c_str());
    return 0;
}
