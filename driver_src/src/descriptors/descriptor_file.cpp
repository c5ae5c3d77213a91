#include "descriptors/descriptor_file.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/elements.hpp"
#include "base/error.hpp"
#include "base/joined.hpp"
#include "base/text_stream.hpp"
#include "base/value_lines.hpp"

namespace torchml {

namespace {

using Words = std::vector<std::string>;

Words split(const std::string& line) {
    TextStream stream(line);
    Words words;
    for (std::string word; stream >> word;) words.push_back(word);
    return words;
}

bool is_number(const std::string& word) {
    double value = 0.0;
    return read_number(word, value);
}

bool names_symmetry_function(const std::string& word) {
    const std::string name = lower(word);
    return name.size() == 2 && name[0] == 'g' && name[1] >= '1' && name[1] <= '5';
}

/// Reads the files that KLIFF and libdescriptor write, line by line.
class Reader {
  public:
    Reader(const std::string& text, const std::string& name, const Words& elements)
        : lines_(text, "descriptor file " + name,
                 "Copy the whole file again; KLIFF writes it as descriptor.dat."),
          elements_(elements) {}

    DescriptorFile read(const std::string& kind) {
        DescriptorFile file;
        file.kind = kind;
        step("the cutoff type");
        if (kind == "SOAP" && is_number(words_[0])) {  // libdescriptor's layout starts with n_max
            held_ = true;
            file.settings = soap(/*names_species=*/true);
        } else {
            const PairCutoffs cutoffs = header();
            if (kind == "SOAP") {
                file.settings = soap(/*names_species=*/false);
            } else if (kind == "Bispectrum") {
                file.settings = bispectrum(cutoffs);
            } else {
                file.settings = symmetry_functions(cutoffs, file.normalisation);
            }
        }
        if (advance()) lines_.reject("unexpected line after the last value: '", line_, "'.");
        return file;
    }

  private:
    bool advance() {
        if (held_) {  // a line that the previous part left unread
            held_ = false;
            return true;
        }
        if (!lines_.advance(line_)) return false;
        words_ = split(line_);
        return true;
    }

    /// Moves to the next line, which is required.
    void step(const char* what) {
        if (held_) {
            held_ = false;
            return;
        }
        line_ = lines_.next(what);
        words_ = split(line_);
    }

    /// The current line, which must be a single value.
    const std::string& only_word(const char* what) {
        if (words_.size() != 1) lines_.reject(what, " must be one value, not '", line_, "'.");
        return words_[0];
    }

    double number(const char* what, const std::string& word) const {
        double value = 0.0;
        if (!read_number(word, value)) {
            lines_.reject(what, " must be a number, not '", word, "'.");
        }
        return value;
    }

    double number(const char* what) {
        step(what);
        return number(what, only_word(what));
    }

    double positive(const char* what, const std::string& word) const {
        const double value = number(what, word);
        if (value <= 0.0) lines_.reject(what, " must be positive, not ", word, ".");
        return value;
    }

    int whole_number(const char* what, const std::string& word, int least, int most) const {
        int value = 0;
        if (!read_whole_number(word, value) || value < least || value > most) {
            lines_.reject(what, " must be a whole number from ", least, " to ", most, ", not '",
                          word, "'.");
        }
        return value;
    }

    int whole_number(const char* what, int least, int most) {
        step(what);
        return whole_number(what, only_word(what), least, most);
    }

    bool flag(const char* what, const std::string& word) const {
        const std::string text = lower(word);
        if (text == "1" || text == "true") return true;
        if (text == "0" || text == "false") return false;
        lines_.reject(what, " must be 0 or 1, not '", word, "'.");
    }

    bool flag(const char* what) {
        step(what);
        return flag(what, only_word(what));
    }

    /// The index, in the model's order, of an element that the file names.
    int index_of(const std::string& element) const {
        const auto found = std::find(elements_.begin(), elements_.end(), element);
        if (found != elements_.end()) return static_cast<int>(found - elements_.begin());
        lines_.reject("'", element, "' is not one of the model's elements (", joined(elements_),
                      ").");
    }

    int n_elements() const { return static_cast<int>(elements_.size()); }

    /// Cutoff type, number of species, and a line for each pair: KLIFF writes every pair twice,
    /// libdescriptor reads each once. Stops at the first line after the pairs.
    PairCutoffs header() {
        if (lower(only_word("the cutoff type")) != "cos") {
            lines_.reject("the cutoff type must be cos, not '", line_, "'.");
        }
        const int announced = whole_number("the number of species", 1, 118);
        PairCutoffs result;
        result.n_species = n_elements();
        result.cutoffs.assign(elements_.size() * elements_.size(), 0.0);
        step("the pairs of species and their cutoffs");
        do {
            if (is_number(words_[0])) break;
            if (words_.size() != 3) {
                lines_.reject("expected a pair of species and its cutoff, not '", line_, "'.");
            }
            const int a = index_of(words_[0]), b = index_of(words_[1]);
            const double cutoff = positive("a cutoff (in Å)", words_[2]);
            for (const auto& [row, column] : {std::pair(a, b), std::pair(b, a)}) {
                double& known =
                    result.cutoffs[static_cast<std::size_t>(row * n_elements() + column)];
                if (known != 0.0 && known != cutoff) {
                    lines_.reject("the pair ", words_[0], " ", words_[1], " has two cutoffs, ",
                                  known, " and ", cutoff, ". Give it the same one in both lines.");
                }
                known = cutoff;
            }
            for (const int species : {a, b}) {
                if (std::find(order_.begin(), order_.end(), species) == order_.end()) {
                    order_.push_back(species);
                }
            }
        } while (advance());
        held_ = is_number(words_[0]);
        if (static_cast<int>(order_.size()) != announced) {
            lines_.reject("the lines above announce ", announced, " species, but give cutoffs for ",
                          order_.size(), ".");
        }
        for (int a = 0; a < n_elements(); ++a) {
            for (int b = a; b < n_elements(); ++b) {
                if (result.of(a, b) == 0.0) {
                    lines_.reject("the lines above give no cutoff for the pair ",
                                  elements_[static_cast<std::size_t>(a)], " ",
                                  elements_[static_cast<std::size_t>(b)], ".");
                }
            }
        }
        return result;
    }

    SymmetryFunctionSettings symmetry_functions(const PairCutoffs& cutoffs,
                                                Normalisation& normalisation) {
        SymmetryFunctionSettings settings;
        settings.cutoffs = cutoffs;
        const int n_kinds = whole_number("the number of kinds of symmetry functions", 1, 1000);
        for (int k = 0; k < n_kinds; ++k) read_functions(settings);
        read_normalisation(settings.functions.size(), normalisation);
        return settings;
    }

    /// One kind: `g2 rows columns`, then the rows. KLIFF writes g1 without either.
    void read_functions(SymmetryFunctionSettings& settings) {
        static constexpr int n_parameters[] = {0, 2, 1, 3, 3};
        step("a kind of symmetry functions");
        if (!names_symmetry_function(words_[0])) {
            lines_.reject("expected a kind of symmetry functions (g1 to g5), not '", line_, "'.");
        }
        const int kind = words_[0][1] - '0';
        const int expected = n_parameters[kind - 1];
        if (kind == 1 && words_.size() == 1) {
            settings.functions.push_back({1, {}});
            return;
        }
        if (words_.size() != 3) {
            lines_.reject("expected '", words_[0], " ROWS COLUMNS', not '", line_, "'.");
        }
        const int rows = whole_number("the number of rows", words_[1], 1, 1000000);
        const int columns = whole_number("the number of columns", words_[2], 0, 3);
        if (kind != 1 && columns != expected) {
            lines_.reject("g", kind, " takes ", expected, " parameter(s) per row, not ", columns,
                          ".");
        }
        for (int row = 0; row < rows; ++row) {
            SymmetryFunctionSettings::Function function;
            function.kind = kind;
            if (columns != 0) read_row(function, expected, columns);
            settings.functions.push_back(function);
        }
    }

    void read_row(SymmetryFunctionSettings::Function& function, int n_parameters, int columns) {
        step("the parameters of a symmetry function");
        if (static_cast<int>(words_.size()) != columns) {
            lines_.reject("a row of g", function.kind, " must have ", columns, " number(s), not '",
                          line_, "'.");
        }
        // g1 has no parameters, but a number in libdescriptor's layout.
        for (int k = 0; k < columns; ++k) {
            const double value = number("a parameter", words_[static_cast<std::size_t>(k)]);
            if (k < n_parameters) function.parameters[static_cast<std::size_t>(k)] = value;
        }
        if (function.kind >= 4 && function.parameters[0] <= 0.0) {
            lines_.reject("zeta, the first parameter of g", function.kind,
                          ", must be positive, not ", words_[0], ".");
        }
    }

    /// A flag, the width, and, if the flag is set, means and standard deviations: one of each, one
    /// of each per column, or none (libdescriptor has no normalisation).
    void read_normalisation(std::size_t width, Normalisation& normalisation) {
        step("the normalisation flag");
        if (words_.size() > 2) {
            lines_.reject("the normalisation flag must be True or False, not '", line_, "'.");
        }
        const bool normalised = flag("the normalisation flag", words_.back());
        if (!advance()) return;
        int announced = 0;
        if (!read_whole_number(only_word("the descriptor's width"), announced) || announced < 0 ||
            static_cast<std::size_t>(announced) != width) {
            lines_.reject("the descriptor's width must be ", width,
                          ", the number of functions above, not '", line_, "'.");
        }
        if (!normalised) return;
        std::vector<double> values;
        while (advance()) {
            for (const std::string& word : words_) {
                values.push_back(number("a mean or standard deviation", word));
                if (values.size() > 2 * width) break;
            }
        }
        if (values.empty()) return;
        if (values.size() != 2 && values.size() != 2 * width) {
            lines_.reject("expected a mean and a standard deviation, or one of each per column ",
                          "(2 or ", 2 * width, " numbers), not ", values.size(), " number(s).");
        }
        const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
        normalisation.mean.assign(values.begin(), middle);
        normalisation.deviation.assign(middle, values.end());
        for (const double deviation : normalisation.deviation) {
            if (deviation <= 0.0) {
                lines_.reject("standard deviations must be positive, not ", deviation, ".");
            }
        }
    }

    BispectrumSettings bispectrum(const PairCutoffs& cutoffs) {
        BispectrumSettings settings;
        settings.cutoffs = cutoffs;
        const double jmax = number("jmax");
        if (jmax < 0.0 || jmax > 50.0 || 2.0 * jmax != std::floor(2.0 * jmax)) {
            lines_.reject("jmax must be a multiple of 1/2 from 0 to 50, not ", line_, ".");
        }
        settings.twojmax = static_cast<int>(2.0 * jmax);
        settings.rfac0 = number("rfac0");
        settings.diagonal_style = whole_number("diagonalstyle", 0, 3);
        settings.rmin0 = number("rmin0");
        settings.switched = flag("switch_flag");
        settings.bzero = flag("bzero_flag");
        settings.weights.assign(elements_.size(), 0.0);
        for (std::size_t read = 0; read < order_.size();) {
            step("the weights of the species");
            for (const std::string& word : words_) {
                if (read == order_.size()) {
                    lines_.reject("expected one weight for each of the ", order_.size(),
                                  " species, but there are more: '", line_, "'.");
                }
                settings.weights[static_cast<std::size_t>(order_[read++])] =
                    number("a weight", word);
            }
        }
        return settings;
    }

    /// KLIFF puts a block of pairs first and names no species afterwards; libdescriptor's layout
    /// names them at the end.
    SoapSettings soap(bool names_species) {
        SoapSettings settings;
        settings.n_species = n_elements();
        settings.n_max = whole_number("n_max", 1, 100);
        settings.l_max = whole_number("l_max", 0, 100);
        step("the cutoff");
        settings.cutoff = positive("the cutoff (in Å)", only_word("the cutoff"));
        bool has_basis = false, has_eta = false;
        for (int k = 0; k < 2; ++k) {  // KLIFF and libdescriptor write them in different orders
            step("eta and the radial basis");
            const std::string word = only_word("eta or the radial basis");
            if (is_number(word) && !has_eta) {
                settings.eta = positive("eta", word);
                has_eta = true;
            } else if (lower(word) == "polynomial" && !has_basis) {
                has_basis = true;
            } else {
                lines_.reject(
                    has_basis ? "eta must be a number" : "the radial basis must be polynomial",
                    ", not '", word, "'.");
            }
        }
        if (advance()) {
            held_ = true;
            read_species();
        } else if (names_species) {
            step("the number of species");
        }
        return settings;
    }

    void read_species() {
        step("the number of species");
        const int announced = whole_number("the number of species", words_[0], 1, 118);
        words_.erase(words_.begin());
        Words seen;
        while (true) {
            for (const std::string& word : words_) {
                index_of(word);
                if (std::find(seen.begin(), seen.end(), word) != seen.end()) {
                    lines_.reject("the species ", word, " is named twice.");
                }
                seen.push_back(word);
            }
            if (static_cast<int>(seen.size()) >= announced) break;
            step("the species");
        }
        if (static_cast<int>(seen.size()) != announced || announced != n_elements()) {
            lines_.reject("the file announces ", announced, " species and names ", seen.size(),
                          "; the model has ", n_elements(), " element(s).");
        }
    }

    ValueLines lines_;
    const Words& elements_;
    std::vector<int> order_;  ///< the file's species, as indices of the model's elements
    std::string line_;
    Words words_;
    bool held_ = false;
};

/// The kind of descriptor: only symmetry functions have lines `g1` to `g5`, and only SOAP has a
/// single word on a line, its radial basis, apart from the cutoff type and flags.
std::string kind_of(const std::string& text) {
    ValueLines lines(text, "", "");
    std::string line;
    lines.advance(line);
    while (lines.advance(line)) {
        const Words words = split(line);
        if (names_symmetry_function(words[0])) return "SymmetryFunctions";
        const bool is_flag = lower(line) == "true" || lower(line) == "false";
        if (words.size() == 1 && !is_number(line) && !is_flag) return "SOAP";
    }
    return "Bispectrum";
}

}  // namespace

DescriptorFile parse_descriptor_file(const std::string& text, const std::string& name,
                                     const std::vector<std::string>& elements) {
    if (!is_text(text)) {
        fail("descriptor file ", name, " is not a text file. Use the model's *.dat file.");
    }
    if (text.find_first_not_of(" \t\r\n\f\v") == std::string::npos) {
        fail("descriptor file ", name,
             " is empty. Copy the one that the model was trained with again.");
    }
    return Reader(text, name, elements).read(kind_of(text));
}

DescriptorFile read_descriptor_file(const std::filesystem::path& file,
                                    const std::vector<std::string>& elements) {
    const std::string text = read_small_file(file, "descriptor file");
    return parse_descriptor_file(text, file.filename().string(), elements);
}

}  // namespace torchml
