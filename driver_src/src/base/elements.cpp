#include "base/elements.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace torchml {

namespace {

constexpr std::array<std::string_view, 118> symbols = {
    "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",
    "S",  "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn",
    "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh",
    "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd",
    "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re",
    "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th",
    "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db",
    "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"};

}  // namespace

int atomic_number(const std::string& symbol) {
    const auto found = std::find(symbols.begin(), symbols.end(), symbol);
    return found == symbols.end() ? 0 : static_cast<int>(found - symbols.begin()) + 1;
}

std::string element_symbol(int atomic_number) {
    if (atomic_number < 1 || static_cast<std::size_t>(atomic_number) > symbols.size()) return {};
    return std::string(symbols[static_cast<std::size_t>(atomic_number) - 1]);
}

std::string similar_element(const std::string& text) {
    std::string candidate = text;
    for (std::size_t i = 0; i < candidate.size(); ++i) {
        const auto letter = static_cast<unsigned char>(candidate[i]);
        candidate[i] = static_cast<char>(i == 0 ? std::toupper(letter) : std::tolower(letter));
    }
    return candidate != text && atomic_number(candidate) != 0 ? candidate : std::string();
}

}  // namespace torchml
