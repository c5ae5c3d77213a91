#include "descriptors/libdescriptor.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <exception>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "descriptors/libdescriptor_library.hpp"

namespace torchml {

namespace {

using libdescriptor::DescriptorKind;
using libdescriptor::Functions;
using libdescriptor::Kind;

/// Names for the species, which libdescriptor requires and ignores.
std::vector<std::string> species_names(int n) {
    return std::vector<std::string>(static_cast<std::size_t>(n), "X");
}

/// The last subscripts j (doubled) of the bispectrum components (j1, j2, j), in the order of
/// libdescriptor's columns.
std::vector<int> last_subscripts(const BispectrumSettings& settings) {
    std::vector<int> found;
    for (int j1 = 0; j1 <= settings.twojmax; ++j1) {
        for (int j2 = 0; j2 <= j1; ++j2) {
            for (int j = j1 - j2; j <= std::min(settings.twojmax, j1 + j2); j += 2) {
                const bool wanted = settings.diagonal_style == 0 ||
                                    (settings.diagonal_style == 1 && j2 == j1) ||
                                    (settings.diagonal_style == 3 && j >= j1);
                if (wanted) found.push_back(j);
            }
        }
        // Also where the three cannot couple: that column is zero.
        if (settings.diagonal_style == 2) found.push_back(j1);
    }
    return found;
}

/// What differs between the kinds of descriptors: how libdescriptor makes its object, the width
/// that it must have, and its limits.
struct Recipe {
    Kind kind;
    std::string name;
    int width;
    std::size_t most_neighbours;  ///< the capacity of its arrays
    PairCutoffs cutoffs;
    std::vector<double> shifts;  ///< (width) to be subtracted from its values, or empty
};

constexpr std::size_t any_number = static_cast<std::size_t>(-1);

Recipe recipe(const SymmetryFunctionSettings& settings) {
    return {Kind::symmetry_functions,
            "symmetry functions",
            static_cast<int>(settings.functions.size()),
            any_number,
            settings.cutoffs,
            {}};
}

Recipe recipe(const BispectrumSettings& settings) {
    if (settings.diagonal_style < 0 || settings.diagonal_style > 3) {
        fail("a bispectrum's diagonalstyle must be 0, 1, 2 or 3, not ", settings.diagonal_style,
             ".");
    }
    const std::vector<int> last = last_subscripts(settings);
    Recipe made{
        Kind::bispectrum, "bispectrum", static_cast<int>(last.size()), 250, settings.cutoffs, {}};
    // With its bzero flag, libdescriptor writes past the end of an array. What it would subtract is
    // the last subscript.
    if (settings.bzero) made.shifts.assign(last.begin(), last.end());
    return made;
}

Recipe recipe(const SoapSettings& settings) {
    const int pairs = settings.n_species * (settings.n_species + 1) / 2;
    const int width = pairs * settings.n_max * (settings.n_max + 1) / 2 * (settings.l_max + 1);
    const auto n = static_cast<std::size_t>(settings.n_species);
    PairCutoffs cutoffs{settings.n_species, std::vector<double>(n * n, settings.cutoff)};
    return {Kind::soap, "SOAP", width, 100, cutoffs, {}};
}

DescriptorKind* make_kind(const Functions& functions, const SymmetryFunctionSettings& settings) {
    constexpr std::array<int, 6> n_parameters{0, 1, 2, 1, 3, 3};
    std::vector<std::string> names;
    std::vector<int> sizes;
    std::vector<double> parameters;
    for (const auto& function : settings.functions) {
        const std::string name{'g', static_cast<char>('0' + function.kind)};
        const int n = n_parameters.at(static_cast<std::size_t>(function.kind));
        if (names.empty() || names.back() != name) {
            names.push_back(name);
            sizes.insert(sizes.end(), {0, n});
        }
        ++sizes[sizes.size() - 2];
        parameters.insert(parameters.end(), function.parameters.begin(),
                          function.parameters.begin() + n);
    }
    std::vector<std::string> species = species_names(settings.cutoffs.n_species);
    std::vector<double> cutoffs = settings.cutoffs.cutoffs;
    std::string cutoff_function = "cos";
    DescriptorKind* made =
        functions.make_symmetry_functions(Kind::symmetry_functions, &species, &cutoff_function,
                                          cutoffs.data(), &names, &sizes, &parameters);
    // The constructor has given every pair the first pair's cutoff.
    functions.set_symmetry_cutoffs(made, "cos", species.size(), cutoffs.data());
    return made;
}

DescriptorKind* make_kind(const Functions& functions, const BispectrumSettings& settings) {
    std::vector<std::string> species = species_names(settings.cutoffs.n_species);
    std::vector<double> cutoffs = settings.cutoffs.cutoffs;
    std::vector<double> weights = settings.weights;
    DescriptorKind* made = functions.make_bispectrum(
        Kind::bispectrum, settings.rfac0, settings.twojmax, settings.diagonal_style, 0,
        settings.rmin0, settings.switched ? 1 : 0, 0, cutoffs.data(), &species, &weights);
    functions.set_bispectrum_cutoffs(made, "cos", species.size(), cutoffs.data());
    return made;
}

DescriptorKind* make_kind(const Functions& functions, const SoapSettings& settings) {
    std::vector<std::string> species = species_names(settings.n_species);
    return functions.make_soap(Kind::soap, settings.n_max, settings.l_max, settings.cutoff, species,
                               "polynomial", settings.eta);
}

/// SOAP's derivative is nan where a neighbour lies on the z axis through the centre, so such
/// neighbourhoods are rotated: by the quaternion (2, 3, 4, 5), which takes no direction of a
/// crystal to z.
constexpr double turn[3][3] = {{-14.0 / 27, 2.0 / 27, 23.0 / 27},
                               {22.0 / 27, -7.0 / 27, 14.0 / 27},
                               {7.0 / 27, 26.0 / 27, 2.0 / 27}};

class Libdescriptor : public Descriptor {
  public:
    explicit Libdescriptor(const DescriptorSettings& settings)
        : functions_(libdescriptor::functions()),
          settings_(settings),
          recipe_(std::visit([](const auto& of_kind) { return recipe(of_kind); }, settings)) {
        Own made(*this);
        if (made.kind->width != recipe_.width) {
            fail(libdescriptor::library_path(), " computes ", made.kind->width, " values of ",
                 recipe_.name, " per particle; expected ", recipe_.width,
                 ". Unset KIM_MODEL_DESCRIPTOR_BACKEND to use the driver's own descriptors.");
        }
    }

    int width() const override { return recipe_.width; }

    double cutoff(int center_species, int neighbour_species) const override {
        return recipe_.cutoffs.of(center_species, neighbour_species);
    }

    std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Own>(*this); }

    void values(const Neighbourhoods& block, Scratch& scratch, double* values) const override {
        Own& own = static_cast<Own&>(scratch);
        const auto width = static_cast<std::size_t>(recipe_.width);
        std::fill(values, values + static_cast<std::size_t>(block.n) * width, 0.0);
        for (int i = 0; i < block.n; ++i) {
            own.place(*this, block, i);
            double* row = values + static_cast<std::size_t>(i) * width;
            guarded([&] {
                functions_.compute(0, own.n_atoms(), own.species.data(), own.neighbours.data(),
                                   own.n_atoms() - 1, own.coordinates.data(), row, own.kind.get());
            });
            for (std::size_t k = 0; k < recipe_.shifts.size(); ++k) row[k] -= recipe_.shifts[k];
        }
    }

    void vjp(const Neighbourhoods& block, const double* weights, Scratch& scratch, double* gx,
             double* gy, double* gz) const override {
        Own& own = static_cast<Own&>(scratch);
        const auto width = static_cast<std::size_t>(recipe_.width);
        for (int i = 0; i < block.n; ++i) {
            own.place(*this, block, i);
            own.value.assign(width, 0.0);
            own.derivative.assign(own.coordinates.size(), 0.0);
            const double* row = weights + static_cast<std::size_t>(i) * width;
            own.weights.assign(row, row + width);
            guarded([&] {
                functions_.gradient(0, own.n_atoms(), own.species.data(), own.neighbours.data(),
                                    own.n_atoms() - 1, own.coordinates.data(),
                                    own.derivative.data(), own.value.data(), own.weights.data(),
                                    own.kind.get());
            });
            own.fetch(block, i, gx, gy, gz);
        }
    }

  private:
    template <class Call>
    void guarded(const Call& call) const {
        try {
            call();
        } catch (const std::exception& problem) {
            fail("libdescriptor's ", recipe_.name, " failed: ", problem.what(),
                 ". Unset KIM_MODEL_DESCRIPTOR_BACKEND to try the driver's own descriptors.");
        }
    }

    /// libdescriptor's object stores intermediate results in itself, so each thread has its own.
    struct Own : public Scratch {
        explicit Own(const Libdescriptor& of)
            : kind(std::visit(
                  [&of](const auto& of_kind) { return make_kind(of.functions_, of_kind); },
                  of.settings_)) {
            kind->kind = of.recipe_.kind;  // libdescriptor leaves it unset for symmetry functions
        }

        int n_atoms() const { return static_cast<int>(species.size()); }

        /// Fills the arrays that libdescriptor reads: the central particle, then its neighbours.
        void place(const Libdescriptor& of, const Neighbourhoods& block, int i) {
            const auto first = static_cast<std::size_t>(block.starts[i]);
            const auto n = static_cast<std::size_t>(block.starts[i + 1]) - first;
            if (n > of.recipe_.most_neighbours) {
                fail("libdescriptor's ", of.recipe_.name, " takes at most ",
                     of.recipe_.most_neighbours, " neighbours within the cutoff, but a particle ",
                     "has ", n, ". Unset KIM_MODEL_DESCRIPTOR_BACKEND to use the driver's own ",
                     "descriptors, which have no such limit.");
            }
            species.assign(1, block.species[i]);
            species.insert(species.end(), block.neighbour_species + first,
                           block.neighbour_species + first + n);
            neighbours.resize(n);
            coordinates.assign(3 * (n + 1), 0.0);
            turned = false;
            for (std::size_t j = 0; j < n; ++j) {
                neighbours[j] = static_cast<int>(j) + 1;
                const double x = block.x[first + j], y = block.y[first + j], z = block.z[first + j];
                double* to = coordinates.data() + 3 * (j + 1);
                to[0] = x, to[1] = y, to[2] = z;
                const double off_axis = std::max(std::abs(x), std::abs(y));
                turned = turned || (of.recipe_.kind == Kind::soap && off_axis < 1e-7 * std::abs(z));
            }
            if (!turned) return;
            for (std::size_t j = 1; j <= n; ++j) {
                double* r = coordinates.data() + 3 * j;
                const double x = r[0], y = r[1], z = r[2];
                for (int k = 0; k < 3; ++k) r[k] = turn[k][0] * x + turn[k][1] * y + turn[k][2] * z;
            }
        }

        void fetch(const Neighbourhoods& block, int i, double* gx, double* gy, double* gz) const {
            const auto first = static_cast<std::size_t>(block.starts[i]);
            for (std::size_t j = 0; j < neighbours.size(); ++j) {
                const double* g = derivative.data() + 3 * (j + 1);
                std::array<double, 3> back{g[0], g[1], g[2]};
                if (turned) {
                    for (std::size_t k = 0; k < 3; ++k) {
                        back[k] = turn[0][k] * g[0] + turn[1][k] * g[1] + turn[2][k] * g[2];
                    }
                }
                gx[first + j] = back[0], gy[first + j] = back[1], gz[first + j] = back[2];
            }
        }

        std::unique_ptr<DescriptorKind> kind;
        std::vector<int> species, neighbours;
        std::vector<double> coordinates, derivative, value, weights;
        bool turned = false;
    };

    const Functions& functions_;
    DescriptorSettings settings_;
    Recipe recipe_;
};

/// The results of libdescriptor 0.2.3 for one particle and three neighbours of two species;
/// tests/data/descriptors/known_numbers.py computes them.
struct KnownNumbers {
    DescriptorSettings settings;
    double sum;  ///< of value k divided by k + 1
    std::array<double, 3>
        derivative;  ///< of that sum, with respect to the last neighbour's position
};

std::vector<KnownNumbers> known_numbers() {
    const PairCutoffs cutoffs{2, {3.0, 2.8, 2.8, 2.6}};
    return {
        {SymmetryFunctionSettings{cutoffs,
                                  {{2, {0.4, 0.5}}, {4, {2.0, 1.0, 0.1}}, {5, {1.0, -1.0, 0.2}}}},
         0.96984302579523718,
         {-0.054161084654083556, 0.1970028087096464, -0.26736625345072923}},
        {BispectrumSettings{cutoffs, 3, 3, 0.99363, 0.2, true, false, {1.0, 0.6}},
         18.47863248450825,
         {-0.62445762932434934, 2.4784637951434565, -3.3191640181362931}},
        {SoapSettings{2, 2, 3.0, 0.7, 2},
         2.0442444009430392,
         {-0.03702597613286096, 0.20553754913451106, -0.23021398670229729}},
    };
}

/// Throws Error if the library in use computes something else.
void require_known_numbers(const KnownNumbers& known) {
    const Libdescriptor descriptor(known.settings);
    const int species = 0;
    const std::array<int, 2> starts{0, 3};
    const std::array<int, 3> neighbour_species{1, 0, 1};
    const std::array<double, 3> x{1.1, -0.7, 0.3}, y{0.2, 1.3, -1.2}, z{-0.4, 0.5, 1.6};
    const Neighbourhoods block{1,        &species, starts.data(), neighbour_species.data(),
                               x.data(), y.data(), z.data(),      nullptr};
    std::vector<double> weights, values(static_cast<std::size_t>(descriptor.width()));
    for (std::size_t k = 0; k < values.size(); ++k) {
        weights.push_back(1.0 / static_cast<double>(k + 1));
    }
    std::array<double, 3> gx{}, gy{}, gz{};
    const auto scratch = descriptor.make_scratch();
    descriptor.values(block, *scratch, values.data());
    descriptor.vjp(block, weights.data(), *scratch, gx.data(), gy.data(), gz.data());
    const double sum = std::inner_product(values.begin(), values.end(), weights.begin(), 0.0);
    const std::array<double, 4> found{sum, gx[2], gy[2], gz[2]};
    const std::array<double, 4> right{known.sum, known.derivative[0], known.derivative[1],
                                      known.derivative[2]};
    for (std::size_t k = 0; k < found.size(); ++k) {
        // Written so that nan fails, too.
        if (!(std::abs(found[k] - right[k]) <= 1e-9 * std::abs(known.sum))) {
            fail(libdescriptor::library_path(), " computes ", k == 0 ? "values" : "derivatives",
                 " that differ from libdescriptor 0.2.3's: ", found[k], " instead of ", right[k],
                 ". Install that version with `torchml-install deps --with libdescriptor`, or "
                 "unset KIM_MODEL_DESCRIPTOR_BACKEND.");
        }
    }
}

/// Checks each library once. Throws Error if its numbers are wrong.
void require_trustworthy_library() {
    static std::mutex one_at_a_time;
    static std::set<std::string> trusted;
    const std::string path = libdescriptor::library_path();
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    if (trusted.count(path) != 0) return;
    for (const KnownNumbers& known : known_numbers()) require_known_numbers(known);
    trusted.insert(path);
}

}  // namespace

std::unique_ptr<Descriptor> make_libdescriptor(const DescriptorSettings& settings) {
    try {
        require_trustworthy_library();
        return std::make_unique<Libdescriptor>(settings);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& problem) {
        fail(libdescriptor::library_path(), " rejects the descriptor's settings: ", problem.what(),
             ". Unset KIM_MODEL_DESCRIPTOR_BACKEND to use the driver's own descriptors.");
    }
}

}  // namespace torchml
