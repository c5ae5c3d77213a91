#pragma once

#include <array>
#include <string>
#include <variant>
#include <vector>

namespace torchml {

/// How far each pair of species sees each other.
struct PairCutoffs {
    int n_species = 0;
    std::vector<double>
        cutoffs;  ///< (n_species, n_species) Å, in the order of the model's elements

    double of(int a, int b) const { return cutoffs[static_cast<std::size_t>(a * n_species + b)]; }
};

/// Behler's symmetry functions: rows of parameters, in the order of the descriptor's columns.
struct SymmetryFunctionSettings {
    struct Function {
        int kind = 0;  ///< 1 to 5, for g1 to g5
        /// g2: eta, Rs; g3: kappa; g4 and g5: zeta, lambda, eta; g1 has none. Å and 1/Å².
        std::array<double, 3> parameters{};
    };
    PairCutoffs cutoffs;
    std::vector<Function> functions;
};

/// Bispectrum components, with the names that LAMMPS's SNAP gives to their settings.
struct BispectrumSettings {
    PairCutoffs cutoffs;
    int twojmax = 0;
    int diagonal_style = 0;
    double rfac0 = 0.0;
    double rmin0 = 0.0;  ///< Å
    bool switched = true;
    bool bzero = false;
    std::vector<double> weights;  ///< (n_species)
};

/// The smooth overlap of atomic positions, with the polynomial radial basis.
struct SoapSettings {
    int n_max = 0;
    int l_max = 0;
    double cutoff = 0.0;  ///< Å
    double eta = 0.0;     ///< 1/Å²
    int n_species = 0;    ///< in the order of the model's elements
};

using DescriptorSettings = std::variant<SymmetryFunctionSettings, BispectrumSettings, SoapSettings>;

}  // namespace torchml
