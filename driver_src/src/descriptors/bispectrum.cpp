#include "descriptors/bispectrum.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "descriptors/bispectrum_kernel.hpp"
#include "descriptors/kernel_descriptor.hpp"

namespace torchml {
namespace {

/// Beyond this, the factorial of (j1 + j2 + j) / 2 + 1 overflows a double.
constexpr int largest_twojmax = 40;

/// Doubled angular momenta: layers j1 and j2 coupled to layer j.
struct Triple {
    int j1 = 0;
    int j2 = 0;
    int j = 0;

    bool operator<(const Triple& other) const {
        return std::tie(j1, j2, j) < std::tie(other.j1, other.j2, other.j);
    }
};

/// The same component up to a factor, coupled to the largest of its layers: j >= j1 >= j2.
Triple canonical(const Triple& t) {
    int sorted[3] = {t.j1, t.j2, t.j};
    std::sort(sorted, sorted + 3);
    return {sorted[1], sorted[0], sorted[2]};
}

/// Whether three layers couple; if not, the component is 0.
bool couples(const Triple& t) { return (t.j1 + t.j2 + t.j) % 2 == 0; }

std::vector<Triple> columns(int twojmax, int diagonal_style) {
    std::vector<Triple> triples;
    if (diagonal_style == 2) {
        for (int j = 0; j <= twojmax; ++j) triples.push_back({j, j, j});
        return triples;
    }
    for (int j1 = 0; j1 <= twojmax; ++j1) {
        for (int j2 = 0; j2 <= j1; ++j2) {
            for (int j = j1 - j2; j <= std::min(twojmax, j1 + j2); j += 2) {
                const bool wanted = diagonal_style == 0 || (diagonal_style == 1 && j1 == j2) ||
                                    (diagonal_style == 3 && j >= j1);
                if (wanted) triples.push_back({j1, j2, j});
            }
        }
    }
    return triples;
}

double factorial(int n) {
    double product = 1.0;
    for (int i = 2; i <= n; ++i) product *= i;
    return product;
}

/// <j1 m1 j2 m2 | j m1 + m2> by Racah's formula, with doubled j and with m counted from 0.
double clebsch_gordan(int j1, int j2, int j, int m1, int m2) {
    const int a = 2 * m1 - j1;
    const int b = 2 * m2 - j2;
    const int c = a + b;
    double sum = 0.0;
    const int first = std::max({0, -(j - j2 + a) / 2, -(j - j1 - b) / 2});
    const int last = std::min({(j1 + j2 - j) / 2, (j1 - a) / 2, (j2 + b) / 2});
    for (int z = first; z <= last; ++z) {
        sum += (z % 2 == 0 ? 1.0 : -1.0) /
               (factorial(z) * factorial((j1 + j2 - j) / 2 - z) * factorial((j1 - a) / 2 - z) *
                factorial((j2 + b) / 2 - z) * factorial((j - j2 + a) / 2 + z) *
                factorial((j - j1 - b) / 2 + z));
    }
    const double triangle = factorial((j1 + j2 - j) / 2) * factorial((j1 - j2 + j) / 2) *
                            factorial((j2 - j1 + j) / 2) / factorial((j1 + j2 + j) / 2 + 1);
    return sum * std::sqrt(triangle) *
           std::sqrt(factorial((j1 + a) / 2) * factorial((j1 - a) / 2)) *
           std::sqrt(factorial((j2 + b) / 2) * factorial((j2 - b) / 2)) *
           std::sqrt(factorial((j + c) / 2) * factorial((j - c) / 2) * (j + 1));
}

/// The arrays that the kernels read, and the tables that point into them.
class BispectrumArrays {
  public:
    using Tables = BispectrumTables;

    BispectrumArrays(const BispectrumSettings& settings, int /*lanes*/)
        : pair_cutoffs_(settings.cutoffs),
          cutoffs_(settings.cutoffs.cutoffs.size(), settings.cutoffs.of(0, 0)),
          weights_(settings.weights) {
        const int twojmax = settings.twojmax;
        const std::vector<Triple> triples = columns(twojmax, settings.diagonal_style);
        layers(twojmax);
        value_couplings(triples, settings.bzero);
        all_couplings(triples);

        tables_.twojmax = twojmax;
        tables_.n_species = settings.cutoffs.n_species;
        tables_.width = static_cast<int>(triples.size());
        tables_.rfac0 = settings.rfac0;
        tables_.rmin0 = settings.rmin0;
        tables_.switched = settings.switched;
        tables_.cutoffs = cutoffs_.data();
        tables_.weights = weights_.data();
        tables_.half_starts = half_starts_.data();
        tables_.full_starts = full_starts_.data();
        tables_.norms = norms_.data();
        tables_.coefficients = coefficients_.data();
        tables_.value_slots = value_slots_.data();
        tables_.value_factors = value_factors_.data();
        tables_.value_shifts = value_shifts_.data();
        tables_.weight_starts = weight_starts_.data();
        tables_.weight_columns = weight_columns_.data();
        tables_.weight_factors = weight_factors_.data();
        point(value_couplings_, value_offsets_);
        point(couplings_, offsets_);
        tables_.value_couplings = value_couplings_.data();
        tables_.n_value_couplings = static_cast<int>(value_couplings_.size());
        tables_.couplings = couplings_.data();
        tables_.n_couplings = static_cast<int>(couplings_.size());
    }
    BispectrumArrays(const BispectrumArrays&) = delete;
    BispectrumArrays& operator=(const BispectrumArrays&) = delete;

    const BispectrumTables& tables() const { return tables_; }

    double cutoff(int center_species, int neighbour_species) const {
        return std::min(pair_cutoffs_.of(center_species, neighbour_species),
                        pair_cutoffs_.of(0, 0));
    }

  private:
    /// Where a coupling's lists begin in indices_, which grows until all couplings are known.
    struct Offsets {
        std::size_t row_starts, row_first, row_counts, column_starts;
    };

    void layers(int twojmax) {
        half_starts_.push_back(0);
        full_starts_.push_back(0);
        for (int j = 0; j <= twojmax; ++j) {
            half_starts_.push_back(half_starts_.back() + (j + 1) * (j / 2 + 1));
            full_starts_.push_back(full_starts_.back() + (j + 1) * (j + 1));
            for (int mb = 0; 2 * mb <= j; ++mb) {
                for (int ma = 0; ma <= j; ++ma) {
                    norms_.push_back(std::sqrt(factorial(j - ma) * factorial(ma) /
                                               (factorial(j - mb) * factorial(mb))));
                }
            }
        }
    }

    /// A coupling of j1 and j2 to all layers from the first to the last of `layers`, whose slots
    /// begin at `slot`.
    void add_coupling(int j1, int j2, int j_first, int j_last, int slot,
                      std::vector<Coupling>& couplings, std::vector<Offsets>& offsets) {
        Coupling coupling;
        coupling.j1 = j1;
        coupling.j2 = j2;
        coupling.j_first = j_first;
        coupling.n_j = (j_last - j_first) / 2 + 1;
        coupling.slot = slot;
        couplings.push_back(coupling);

        std::vector<int> row_starts, row_first, row_counts, column_starts;
        for (int sum = 0; sum <= j1 + j2; ++sum) {
            const int first = std::max(0, sum - j2);
            const int last = std::min(j1, sum);
            column_starts.push_back(static_cast<int>(coefficients_.size()));
            add_coefficients(coupling, sum, first, last, false);
            // A layer coupled to itself: exchanging the two gives the same product again.
            const int row = j1 == j2 ? (sum + 1) / 2 : first;
            row_starts.push_back(static_cast<int>(coefficients_.size()));
            row_first.push_back(row);
            row_counts.push_back(last - row + 1);
            add_coefficients(coupling, sum, row, last, j1 == j2);
        }
        const auto append = [this](const std::vector<int>& list) {
            const std::size_t start = indices_.size();
            indices_.insert(indices_.end(), list.begin(), list.end());
            return start;
        };
        offsets.push_back(
            {append(row_starts), append(row_first), append(row_counts), append(column_starts)});
    }

    void add_coefficients(const Coupling& coupling, int sum, int first, int last, bool doubled) {
        for (int m1 = first; m1 <= last; ++m1) {
            for (int i = 0; i < coupling.n_j; ++i) {
                const int j = coupling.j_first + 2 * i;
                const int m = 2 * sum - coupling.j1 - coupling.j2;
                const double value =
                    std::abs(m) > j ? 0.0
                                    : clebsch_gordan(coupling.j1, coupling.j2, j, m1, sum - m1);
                coefficients_.push_back(doubled && 2 * m1 != sum ? 2.0 * value : value);
            }
        }
    }

    void value_couplings(const std::vector<Triple>& triples, bool bzero) {
        std::map<std::pair<int, int>, std::pair<int, int>> ranges;
        for (const Triple& t : triples) {
            if (couples(t)) extend(ranges, canonical(t));
        }
        std::map<Triple, int> slots;
        tables_.n_value_slots = add_couplings(ranges, slots, value_couplings_, value_offsets_);
        for (const Triple& t : triples) {
            const Triple largest = canonical(t);
            const bool coupled = couples(t);
            value_slots_.push_back(coupled ? slots.at(largest) : 0);
            value_factors_.push_back(coupled ? (t.j + 1.0) / (largest.j + 1.0) : 0.0);
            value_shifts_.push_back(coupled && bzero ? t.j : 0.0);
        }
    }

    /// The derivative of a component with respect to each of its layers is the coupling of the
    /// other two.
    void all_couplings(const std::vector<Triple>& triples) {
        struct Share {
            int column;
            double factor;
        };
        std::map<Triple, std::vector<Share>> shares;
        std::map<std::pair<int, int>, std::pair<int, int>> ranges;
        for (std::size_t column = 0; column < triples.size(); ++column) {
            if (!couples(triples[column])) continue;
            const Triple t = canonical(triples[column]);
            const Triple roles[3] = {t, {t.j, t.j2, t.j1}, {t.j, t.j1, t.j2}};
            for (const Triple& role : roles) {
                extend(ranges, role);
                shares[role].push_back(
                    {static_cast<int>(column), (triples[column].j + 1.0) / (role.j + 1.0)});
            }
        }
        std::map<Triple, int> slots;
        tables_.n_slots = add_couplings(ranges, slots, couplings_, offsets_);
        std::vector<std::vector<Share>> by_slot(static_cast<std::size_t>(tables_.n_slots));
        for (const auto& [role, list] : shares) {
            by_slot[static_cast<std::size_t>(slots.at(role))] = list;
        }
        weight_starts_.push_back(0);
        for (const std::vector<Share>& list : by_slot) {
            for (const Share& share : list) {
                weight_columns_.push_back(share.column);
                weight_factors_.push_back(share.factor);
            }
            weight_starts_.push_back(static_cast<int>(weight_columns_.size()));
        }
    }

    static void extend(std::map<std::pair<int, int>, std::pair<int, int>>& ranges,
                       const Triple& t) {
        const auto [at, added] = ranges.insert({{t.j1, t.j2}, {t.j, t.j}});
        if (added) return;
        at->second.first = std::min(at->second.first, t.j);
        at->second.second = std::max(at->second.second, t.j);
    }

    /// Returns the number of slots.
    int add_couplings(const std::map<std::pair<int, int>, std::pair<int, int>>& ranges,
                      std::map<Triple, int>& slots, std::vector<Coupling>& couplings,
                      std::vector<Offsets>& offsets) {
        int n = 0;
        for (const auto& [pair, range] : ranges) {
            add_coupling(pair.first, pair.second, range.first, range.second, n, couplings, offsets);
            for (int j = range.first; j <= range.second; j += 2) {
                slots[{pair.first, pair.second, j}] = n++;
            }
        }
        return n;
    }

    void point(std::vector<Coupling>& couplings, const std::vector<Offsets>& offsets) const {
        for (std::size_t i = 0; i < couplings.size(); ++i) {
            couplings[i].row_starts = indices_.data() + offsets[i].row_starts;
            couplings[i].row_first = indices_.data() + offsets[i].row_first;
            couplings[i].row_counts = indices_.data() + offsets[i].row_counts;
            couplings[i].column_starts = indices_.data() + offsets[i].column_starts;
        }
    }

    PairCutoffs pair_cutoffs_;
    BispectrumTables tables_;
    std::vector<double> cutoffs_, weights_, norms_, coefficients_;
    std::vector<int> half_starts_, full_starts_, indices_;
    std::vector<Coupling> value_couplings_, couplings_;
    std::vector<Offsets> value_offsets_, offsets_;
    std::vector<int> value_slots_, weight_starts_, weight_columns_;
    std::vector<double> value_factors_, value_shifts_, weight_factors_;
};

}  // namespace

std::unique_ptr<Descriptor> make_bispectrum(const BispectrumSettings& settings) {
    const auto n_species = static_cast<std::size_t>(std::max(settings.cutoffs.n_species, 0));
    if (n_species == 0 || settings.cutoffs.cutoffs.size() != n_species * n_species) {
        fail("a bispectrum needs a cutoff for each pair of species; there are ",
             settings.cutoffs.cutoffs.size(), " for ", settings.cutoffs.n_species, " species.");
    }
    if (settings.weights.size() != n_species) {
        fail("a bispectrum needs a weight for each species; there are ", settings.weights.size(),
             " for ", settings.cutoffs.n_species, " species.");
    }
    if (settings.twojmax < 0 || settings.twojmax > largest_twojmax) {
        fail("a bispectrum's jmax must be from 0 to ", largest_twojmax / 2, ", not ",
             0.5 * settings.twojmax, ". Train the model with a smaller one.");
    }
    if (settings.diagonal_style < 0 || settings.diagonal_style > 3) {
        fail("a bispectrum's diagonalstyle must be 0, 1, 2 or 3, not ", settings.diagonal_style,
             ".");
    }
    if (!std::isfinite(settings.rfac0) || !std::isfinite(settings.rmin0)) {
        fail("a bispectrum's rfac0 and rmin0 must be finite, not ", settings.rfac0, " and ",
             settings.rmin0, ".");
    }
    for (const double cutoff : settings.cutoffs.cutoffs) {
        if (!(cutoff > settings.rmin0) || !std::isfinite(cutoff)) {
            fail("a bispectrum's cutoffs must be larger than its rmin0, ", settings.rmin0,
                 " Å; one is ", cutoff, " Å. Correct whichever is wrong.");
        }
    }
    return std::make_unique<KernelDescriptor<BispectrumArrays>>(settings);
}

}  // namespace torchml
