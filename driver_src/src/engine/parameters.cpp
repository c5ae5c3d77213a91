#include "engine/parameters.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <locale>
#include <sstream>

#include "engine/elements.hpp"
#include "engine/error.hpp"

namespace torchml {

namespace {

// A parameter file is a dozen short lines; anything much longer is another kind of file.
constexpr std::size_t longest_file = 1 << 20;
constexpr int most_elements = 118;

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    return text;
}

/// The lines that carry values, one after the other, with their numbers for messages.
class Lines {
  public:
    Lines(const std::string& text, std::string name) : stream_(text), name_(std::move(name)) {}

    /// The next line that carries a value, without comment and surrounding blanks.
    std::string next(const char* what) {
        std::string line;
        if (!advance(line)) {
            fail("parameter file ", name_, " ends before ", what, " (after line ", number_,
                 "). The values, in order: number of elements, elements, preprocessing, cutoff, "
                 "[layers of a graph], model file, returns forces, number of inputs, descriptor.");
        }
        return line;
    }

    bool advance(std::string& line) {
        while (std::getline(stream_, line)) {
            ++number_;
            line.erase(std::min(line.find('#'), line.size()));
            const char* blanks = " \t\r\f\v";
            const auto first = line.find_first_not_of(blanks);
            if (first == std::string::npos) continue;
            line = line.substr(first, line.find_last_not_of(blanks) - first + 1);
            return true;
        }
        return false;
    }

    template <class... Parts>
    [[noreturn]] void reject(const Parts&... parts) const {
        fail("parameter file ", name_, ", line ", number_, ": ", parts...);
    }

  private:
    std::istringstream stream_;
    std::string name_;
    int number_ = 0;
};

int whole_number(Lines& lines, const char* what, int least, int most) {
    const std::string text = lines.next(what);
    int value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size() || value < least ||
        value > most) {
        lines.reject(what, " has to be a whole number from ", least, " to ", most, ", not '", text,
                     "'.");
    }
    return value;
}

double length(Lines& lines, const char* what) {
    const std::string text = lines.next(what);
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());  // the host program may have set another decimal point
    double value = 0.0;
    std::string rest;
    if (!(stream >> value) || (stream >> rest) || !std::isfinite(value) || value <= 0.0) {
        lines.reject(what, " has to be a positive number (in Å), not '", text, "'.");
    }
    return value;
}

bool truth(Lines& lines, const char* what) {
    const std::string text = lines.next(what);
    if (lower(text) == "true") return true;
    if (lower(text) == "false") return false;
    lines.reject(what, " has to be True or False, not '", text, "'.");
}

std::vector<std::string> elements(Lines& lines) {
    const int count = whole_number(lines, "the number of elements", 1, most_elements);
    std::vector<std::string> result;
    while (result.size() < static_cast<std::size_t>(count)) {
        std::istringstream words(lines.next("the elements"));
        for (std::string word; words >> word;) {
            if (atomic_number(word) == 0) {
                const std::string similar = similar_element(word);
                lines.reject("there is no element '", word, "'",
                             similar.empty() ? "" : "; did you mean '" + similar + "'?",
                             similar.empty() ? "." : "");
            }
            if (std::find(result.begin(), result.end(), word) != result.end()) {
                lines.reject("the element ", word, " is named twice.");
            }
            result.push_back(word);
        }
    }
    if (result.size() > static_cast<std::size_t>(count)) {
        lines.reject(count, " element(s) announced, ", result.size(), " named.");
    }
    return result;
}

Preprocessing preprocessing(Lines& lines) {
    const std::string text = lines.next("the preprocessing");
    if (lower(text) == "none") return Preprocessing::none;
    if (lower(text) == "descriptor") return Preprocessing::descriptor;
    if (lower(text) == "graph") return Preprocessing::graph;
    lines.reject("the preprocessing has to be None, Descriptor or Graph, not '", text, "'.");
}

/// Settings stand after the values, one `name value` a line, so that drivers without them still
/// read the file.
void read_setting(const Lines& lines, const std::string& line, Parameters& parameters) {
    std::istringstream words(line);
    std::string name, value, rest;
    words >> name >> value >> rest;
    const bool for_graphs = name == "edge_receiver_row" || name == "drop_unused_particles";
    if (!for_graphs) {
        lines.reject("unknown setting '", name,
                     "'; there are edge_receiver_row and drop_unused_particles.");
    }
    if (parameters.preprocessing != Preprocessing::graph) {
        lines.reject("the setting ", name, " is for models with preprocessing Graph only.");
    }
    if (!rest.empty()) lines.reject("the setting ", name, " takes one value.");
    if (name == "edge_receiver_row") {
        if (value != "0" && value != "1") {
            lines.reject("edge_receiver_row has to be 0 or 1, not '", value, "'.");
        }
        parameters.graph.receivers_only = true;
        parameters.graph.receiver_row = value == "1";
    } else {
        if (lower(value) != "true" && lower(value) != "false") {
            lines.reject("drop_unused_particles has to be True or False, not '", value, "'.");
        }
        parameters.graph.drop_unused = lower(value) == "true";
    }
}

}  // namespace

Parameters parse_parameters(const std::string& text, const std::string& name) {
    const bool is_text = std::none_of(text.begin(), text.end(), [](unsigned char letter) {
        return letter < ' ' && !std::isspace(letter);
    });
    if (!is_text) {
        fail("parameter file ", name, " is not a text file. Give the model's *.param file here.");
    }
    if (text.find_first_not_of(" \t\r\n\f\v") == std::string::npos) {
        fail("parameter file ", name, " is empty.");
    }

    Lines lines(text, name);
    Parameters parameters;
    parameters.elements = elements(lines);
    parameters.preprocessing = preprocessing(lines);
    parameters.cutoff = length(lines, "the cutoff");
    if (parameters.preprocessing == Preprocessing::graph) {
        parameters.n_layers = whole_number(lines, "the number of graph layers", 1, 1000);
    }
    parameters.model_file = lines.next("the model file's name");
    parameters.returns_forces = truth(lines, "'returns forces'");
    parameters.n_inputs = whole_number(lines, "the number of inputs", 1, 10000);
    parameters.descriptor = lines.next("the descriptor's name");
    for (std::string line; lines.advance(line);) read_setting(lines, line, parameters);
    return parameters;
}

Parameters read_parameters(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::string text(longest_file + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (stream.bad() || !stream.is_open()) {
        fail("parameter file ", file.string(), " cannot be read. Is it there, and readable?");
    }
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > longest_file) {
        fail("parameter file ", file.string(), " is too long to be one (over 1 MiB).");
    }
    return parse_parameters(text, file.filename().string());
}

}  // namespace torchml
