#pragma once

#include <array>
#include <string>
#include <variant>
#include <vector>

namespace torchml {

/// The cutoff of each pair of species.
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

/// Bispectrum components; the settings have the names that SNAP in LAMMPS gives them.
struct BispectrumSettings {
    PairCutoffs cutoffs;
    int twojmax = 0;              ///< twice the largest angular momentum
    int diagonal_style = 0;       ///< 0 to 3: which components (see bispectrum.hpp)
    double rfac0 = 0.0;           ///< the angle on the 3-sphere at the cutoff, in units of π
    double rmin0 = 0.0;           ///< Å: the distance at which that angle is 0
    bool switched = true;         ///< neighbours fade towards the cutoff
    bool bzero = false;           ///< j is subtracted from each component (see bispectrum.hpp)
    std::vector<double> weights;  ///< (n_species) of neighbours in the density
};

/// The smooth overlap of atomic positions, with the polynomial radial basis.
struct SoapSettings {
    int n_max = 0;        ///< radial functions
    int l_max = 0;        ///< largest angular momentum
    double cutoff = 0.0;  ///< Å
    double eta = 0.0;     ///< 1/Å²: a neighbour's density is exp(-eta r²)
    int n_species = 0;    ///< in the order of the model's elements
};

using DescriptorSettings = std::variant<SymmetryFunctionSettings, BispectrumSettings, SoapSettings>;

}  // namespace torchml
