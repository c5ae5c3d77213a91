#include "base/parameters.hpp"

#include <algorithm>
#include <limits>
#include <locale>
#include <sstream>

#include "base/elements.hpp"
#include "base/error.hpp"
#include "base/text_stream.hpp"
#include "base/value_lines.hpp"

namespace torchml {

namespace {

constexpr int most_elements = 118;

ValueLines value_lines(const std::string& text, const std::string& name) {
    return {text, "parameter file " + name,
            "A parameter file gives, in this order: number of elements, elements, preprocessing, "
            "cutoff, [layers of Graph or Edges], model file, returns forces, number of inputs, "
            "descriptor. Add what is missing."};
}

int whole_number(ValueLines& lines, const char* what, int least, int most) {
    const std::string text = lines.next(what);
    int value = 0;
    if (!read_whole_number(text, value) || value < least || value > most) {
        lines.reject(what, " must be a whole number from ", least, " to ", most, ", not '", text,
                     "'.");
    }
    return value;
}

double length(ValueLines& lines, const char* what) {
    const std::string text = lines.next(what);
    double value = 0.0;
    if (!read_number(text, value) || value <= 0.0) {
        lines.reject(what, " must be a positive number (in Å), not '", text, "'.");
    }
    return value;
}

bool truth(ValueLines& lines, const char* what) {
    const std::string text = lines.next(what);
    if (lower(text) == "true") return true;
    if (lower(text) == "false") return false;
    lines.reject(what, " must be True or False, not '", text, "'.");
}

std::vector<std::string> elements(ValueLines& lines) {
    const int count = whole_number(lines, "the number of elements", 1, most_elements);
    std::vector<std::string> result;
    while (result.size() < static_cast<std::size_t>(count)) {
        TextStream words(lines.next("the elements"));
        for (std::string word; words >> word;) {
            if (atomic_number(word) == 0) {
                const std::string similar = similar_element(word);
                if (!similar.empty()) {
                    lines.reject("'", word, "' is not an element symbol; did you mean '", similar,
                                 "'?");
                }
                lines.reject("'", word, "' is not an element symbol; the number of elements is ",
                             count, ".");
            }
            if (std::find(result.begin(), result.end(), word) != result.end()) {
                lines.reject("the element ", word, " is named twice.");
            }
            result.push_back(word);
        }
    }
    if (result.size() > static_cast<std::size_t>(count)) {
        lines.reject("the number of elements is ", count, ", but ", result.size(), " are named.");
    }
    return result;
}

CallingConvention convention(ValueLines& lines) {
    const std::string text = lines.next("the preprocessing");
    if (lower(text) == "none") return CallingConvention::neighbours;
    if (lower(text) == "descriptor") return CallingConvention::descriptor;
    if (lower(text) == "graph") return CallingConvention::graph;
    if (lower(text) == "edges") return CallingConvention::edges;
    lines.reject("the preprocessing must be None, Descriptor, Graph or Edges, not '", text, "'.");
}

/// The value of a setting that takes True or False.
bool truth_setting(const ValueLines& lines, const std::string& name, const std::string& value) {
    if (lower(value) == "true") return true;
    if (lower(value) == "false") return false;
    lines.reject(name, " must be True or False, not '", value, "'.");
}

Precision precision_setting(const ValueLines& lines, const std::string& value) {
    if (value == "float64") return Precision::float64;
    if (value == "float32") return Precision::float32;
    if (value == "float16") return Precision::float16;
    if (value == "bfloat16") return Precision::bfloat16;
    lines.reject("precision must be float64, float32, float16 or bfloat16, not '", value, "'.");
}

/// Settings follow the values, one `name value` per line, so that drivers that do not know them
/// can still read the file.
void read_setting(const ValueLines& lines, const std::string& line, Parameters& parameters) {
    TextStream words(line);
    std::string name, value, rest;
    words >> name >> value >> rest;
    const auto require_pattern = [&](bool fits, const char* patterns) {
        if (fits) return;
        lines.reject("the setting ", name, " applies only to models with preprocessing ", patterns,
                     ".");
    };
    const bool graph = parameters.convention == CallingConvention::graph;
    if (name == "edge_receiver_row") {
        require_pattern(graph, "Graph");
        if (value != "0" && value != "1") {
            lines.reject("edge_receiver_row must be 0 or 1, not '", value, "'.");
        }
        parameters.graph.edge_receiver_row = value == "1" ? 1 : 0;
    } else if (name == "drop_unused_particles") {
        require_pattern(graph, "Graph");
        parameters.graph.drop_unused_particles = truth_setting(lines, name, value);
    } else if (name == "returns_edge_gradient") {
        require_pattern(parameters.convention == CallingConvention::edges, "Edges");
        parameters.returns_edge_gradient = truth_setting(lines, name, value);
        if (parameters.returns_edge_gradient && !parameters.returns_forces) {
            lines.reject("'returns forces' must be True where returns_edge_gradient is.");
        }
    } else if (name == "precision") {
        parameters.precision = precision_setting(lines, value);
    } else if (name == "atomic_numbers") {
        require_pattern(parameters.convention != CallingConvention::descriptor,
                        "None, Graph or Edges");
        parameters.atomic_numbers = truth_setting(lines, name, value);
    } else {
        lines.reject("unknown setting '", name,
                     "'; the settings are edge_receiver_row, drop_unused_particles, precision, "
                     "atomic_numbers and returns_edge_gradient.");
    }
    if (!rest.empty()) lines.reject("the setting ", name, " takes one value.");
}

}  // namespace

Parameters parse_parameters(const std::string& text, const std::string& name) {
    if (!is_text(text)) {
        fail("parameter file ", name, " is not a text file. Use the model's *.param file.");
    }
    if (text.find_first_not_of(" \t\r\n\f\v") == std::string::npos) {
        fail("parameter file ", name,
             " is empty. Copy it again, or write a new one with `torchml-install model pack`.");
    }

    ValueLines lines = value_lines(text, name);
    Parameters parameters;
    parameters.elements = elements(lines);
    parameters.convention = convention(lines);
    parameters.cutoff = length(lines, "the cutoff");
    if (parameters.convention == CallingConvention::graph ||
        parameters.convention == CallingConvention::edges) {
        parameters.n_layers = whole_number(lines, "the number of graph layers", 1, 1000);
    }
    parameters.model_file = lines.next("the model file's name");
    parameters.returns_forces = truth(lines, "'returns forces'");
    parameters.n_inputs = whole_number(lines, "the number of inputs", 1, 10000);
    parameters.descriptor = lines.next("the descriptor's name");
    for (std::string line; lines.advance(line);) read_setting(lines, line, parameters);
    return parameters;
}

std::string with_cutoff(const std::string& text, const std::string& name, double cutoff) {
    ValueLines lines = value_lines(text, name);
    elements(lines);
    convention(lines);
    const std::string value = lines.next("the cutoff");
    std::size_t start = 0;
    for (int line = 1; line < lines.number(); ++line) start = text.find('\n', start) + 1;
    std::ostringstream written;
    written.imbue(std::locale::classic());
    written.precision(std::numeric_limits<double>::max_digits10);
    written << cutoff;
    std::string changed = text;
    return changed.replace(text.find(value, start), value.size(), written.str());
}

Parameters read_parameters(const std::filesystem::path& file) {
    const std::string text = read_small_file(file, "parameter file");
    return parse_parameters(text, file.filename().string());
}

}  // namespace torchml
