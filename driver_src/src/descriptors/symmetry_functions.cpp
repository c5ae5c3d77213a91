#include "descriptors/symmetry_functions.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "descriptors/kernel_descriptor.hpp"
#include "descriptors/symmetry_functions_kernel.hpp"

namespace torchml {

namespace {

using Function = SymmetryFunctionSettings::Function;

/// Triplet functions sorted by what they share: exponentials by eta, angles by lambda and zeta.
class Triplets {
  public:
    Triplets(const std::vector<Function>& functions, int kind) {
        std::map<double, std::map<double, int>> angles;  // by lambda, then zeta
        std::map<double, std::vector<int>> columns;      // by eta
        for (std::size_t column = 0; column < functions.size(); ++column) {
            if (functions[column].kind != kind) continue;
            const auto& [zeta, lambda, eta] = functions[column].parameters;
            angles[lambda][zeta] = 0;
            columns[eta].push_back(static_cast<int>(column));
        }
        angle_starts_.push_back(0);
        for (auto& [lambda, zetas] : angles) {
            lambdas_.push_back(lambda);
            int n_squares = 1;
            for (auto& [zeta, index] : zetas) {
                index = static_cast<int>(zetas_.size());
                zetas_.push_back(zeta);
                powers_.push_back(whole_power(zeta));
                for (int bits = powers_.back(), n = 1; bits > 0; bits >>= 1, ++n) {
                    n_squares = std::max(n_squares, n);
                }
            }
            n_squares_.push_back(n_squares);
            angle_starts_.push_back(static_cast<int>(zetas_.size()));
        }
        term_starts_.push_back(0);
        for (const auto& [eta, of_eta] : columns) {
            etas_.push_back(eta);
            for (const int column : of_eta) {
                const auto& parameters = functions[static_cast<std::size_t>(column)].parameters;
                term_angles_.push_back(angles[parameters[1]][parameters[0]]);
                term_columns_.push_back(column);
                term_factors_.push_back(std::exp2(1.0 - parameters[0]));
            }
            term_starts_.push_back(static_cast<int>(term_columns_.size()));
        }
    }

    TripletTables tables() const {
        TripletTables tables;
        tables.n_lambdas = static_cast<int>(lambdas_.size());
        tables.lambdas = lambdas_.data();
        tables.n_squares = n_squares_.data();
        tables.angle_starts = angle_starts_.data();
        tables.n_angles = static_cast<int>(zetas_.size());
        tables.zetas = zetas_.data();
        tables.powers = powers_.data();
        tables.n_etas = static_cast<int>(etas_.size());
        tables.etas = etas_.data();
        tables.term_starts = term_starts_.data();
        tables.n_terms = static_cast<int>(term_columns_.size());
        tables.term_angles = term_angles_.data();
        tables.term_columns = term_columns_.data();
        tables.term_factors = term_factors_.data();
        return tables;
    }

  private:
    /// zeta - 1 if repeated squaring gives that power to a few units in the last place, else -1.
    static int whole_power(double zeta) {
        constexpr double most = 1024.0;
        return zeta >= 1.0 && zeta <= most && zeta == std::floor(zeta) ? static_cast<int>(zeta) - 1
                                                                       : -1;
    }

    std::vector<double> lambdas_, zetas_, etas_, term_factors_;
    std::vector<int> n_squares_, angle_starts_, powers_, term_starts_, term_angles_, term_columns_;
};

/// The arrays that the kernels read, and the tables that point into them.
class SymmetryFunctionArrays {
  public:
    using Tables = SymmetryTables;

    SymmetryFunctionArrays(const SymmetryFunctionSettings& settings, int /*lanes*/)
        : cutoffs_(settings.cutoffs), g4_(settings.functions, 4), g5_(settings.functions, 5) {
        for (std::size_t k = 0; k < settings.functions.size(); ++k) {
            const Function& function = settings.functions[k];
            const int column = static_cast<int>(k);
            if (function.kind == 1) g1_columns_.push_back(column);
            if (function.kind == 2) {
                g2_etas_.push_back(function.parameters[0]);
                g2_shifts_.push_back(function.parameters[1]);
                g2_columns_.push_back(column);
            }
            if (function.kind == 3) {
                g3_kappas_.push_back(function.parameters[0]);
                g3_columns_.push_back(column);
            }
        }
        tables_.width = static_cast<int>(settings.functions.size());
        tables_.n_species = cutoffs_.n_species;
        tables_.cutoffs = cutoffs_.cutoffs.data();
        tables_.n_g1 = static_cast<int>(g1_columns_.size());
        tables_.g1_columns = g1_columns_.data();
        tables_.n_g2 = static_cast<int>(g2_columns_.size());
        tables_.g2_etas = g2_etas_.data();
        tables_.g2_shifts = g2_shifts_.data();
        tables_.g2_columns = g2_columns_.data();
        tables_.n_g3 = static_cast<int>(g3_columns_.size());
        tables_.g3_kappas = g3_kappas_.data();
        tables_.g3_columns = g3_columns_.data();
        tables_.g4 = g4_.tables();
        tables_.g5 = g5_.tables();
    }

    SymmetryFunctionArrays(const SymmetryFunctionArrays&) = delete;
    SymmetryFunctionArrays& operator=(const SymmetryFunctionArrays&) = delete;

    const SymmetryTables& tables() const { return tables_; }

    double cutoff(int center_species, int neighbour_species) const {
        return cutoffs_.of(center_species, neighbour_species);
    }

  private:
    PairCutoffs cutoffs_;
    std::vector<int> g1_columns_, g2_columns_, g3_columns_;
    std::vector<double> g2_etas_, g2_shifts_, g3_kappas_;
    Triplets g4_, g5_;
    SymmetryTables tables_;
};

}  // namespace

std::unique_ptr<Descriptor> make_symmetry_functions(const SymmetryFunctionSettings& settings) {
    const auto n_species = static_cast<std::size_t>(std::max(settings.cutoffs.n_species, 0));
    if (n_species == 0 || settings.cutoffs.cutoffs.size() != n_species * n_species) {
        fail("symmetry functions need a cutoff for each pair of species; there are ",
             settings.cutoffs.cutoffs.size(), " for ", settings.cutoffs.n_species, " species.");
    }
    for (const double cutoff : settings.cutoffs.cutoffs) {
        if (!(cutoff > 0.0) || !std::isfinite(cutoff)) {
            fail("the cutoffs of symmetry functions must be positive, not ", cutoff, " Å.");
        }
    }
    if (settings.functions.empty())
        fail("the descriptor has no symmetry functions; it needs at least one.");
    for (const Function& function : settings.functions) {
        for (const double parameter : function.parameters) {
            if (!std::isfinite(parameter)) {
                fail("the parameters of symmetry functions must be finite, not ", parameter, ".");
            }
        }
        if (function.kind < 1 || function.kind > 5) {
            fail("a symmetry function must be g1, g2, g3, g4 or g5, not g", function.kind, ".");
        }
        if (function.kind >= 4 && !(function.parameters[0] > 0.0)) {
            fail("zeta of g", function.kind, " must be positive, not ", function.parameters[0],
                 ".");
        }
    }
    return std::make_unique<KernelDescriptor<SymmetryFunctionArrays>>(settings);
}

}  // namespace torchml
