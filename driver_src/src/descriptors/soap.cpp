#include "descriptors/soap.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "base/error.hpp"
#include "descriptors/kernel_descriptor.hpp"
#include "descriptors/soap_basis.hpp"
#include "descriptors/soap_kernel.hpp"

namespace torchml {
namespace {

constexpr double pi = 3.14159265358979323846;
constexpr int n_points = 100;
constexpr int largest_n_max = 16;
constexpr int largest_l_max = 30;

/// The radial functions' table: polynomials of this degree on intervals of this length in units of
/// the width of a smoothed neighbour, 1 / sqrt(2 eta). The error is below rounding.
constexpr int degree = 13;
constexpr double interval_in_widths = 0.5;
constexpr double most_intervals = 2000.0;

struct Quadrature {
    std::vector<double> points;   // -1 ... 1
    std::vector<double> weights;  // their sum is 2
};

/// Gauss-Legendre quadrature; Newton's method finds the zeros of the Legendre polynomial.
Quadrature gauss_legendre(int n) {
    Quadrature quadrature;
    for (int k = 0; k < n; ++k) {
        long double x = -std::cos(pi * (k + 0.75L) / (n + 0.5L));
        long double slope = 0.0L;
        for (int iteration = 0; iteration < 10; ++iteration) {
            long double before = 1.0L;
            long double p = x;
            for (int l = 2; l <= n; ++l) {
                const long double next = ((2 * l - 1) * x * p - (l - 1) * before) / l;
                before = p;
                p = next;
            }
            slope = n * (x * p - before) / (x * x - 1.0L);
            x -= p / slope;
        }
        quadrature.points.push_back(static_cast<double>(x));
        quadrature.weights.push_back(static_cast<double>(2.0L / ((1.0L - x * x) * slope * slope)));
    }
    return quadrature;
}

/// exp(-x) i_l(x) / x^l for l = 0 ... l_max, by recurrence from large l down, where it is stable.
void scaled_bessel(int l_max, double x, double* result) {
    const double x2 = x * x;
    const int start = l_max + 30 + static_cast<int>(std::sqrt(100.0 * x));
    double above = 0.0;
    double here = 1e-280;
    for (int l = start; l >= 0; --l) {
        if (l <= l_max) result[l] = here;
        const double below = x2 * above + (2 * l + 1) * here;
        above = here;
        here = below;
        if (here > 1e250) {
            const double small = 1e-250;
            here *= small;
            above *= small;
            for (int k = l; k <= l_max; ++k) result[k] *= small;
        }
    }
    const double first = x < 1e-8 ? 1.0 - x : -std::expm1(-2.0 * x) / (2.0 * x);
    const double norm = first / result[0];
    for (int l = 0; l <= l_max; ++l) result[l] *= norm;
}

/// F(n, l; r) divided by (r / cutoff)^l, a factor that the solid harmonics contain.
class RadialFunctions {
  public:
    explicit RadialFunctions(const SoapSettings& settings)
        : n_max_(settings.n_max),
          l_max_(settings.l_max),
          eta_(settings.eta),
          cutoff_(settings.cutoff),
          bessel_(static_cast<std::size_t>(settings.l_max) + 1) {
        const std::vector<double> basis = polynomial_basis(n_max_, cutoff_);
        const Quadrature quadrature = gauss_legendre(n_points);
        for (std::size_t k = 0; k < n_points; ++k) {
            const double x = 0.5 * cutoff_ * (quadrature.points[k] + 1.0);
            points_.push_back(x);
            for (int n = 0; n < n_max_; ++n) {
                double g = 0.0;
                for (int a = 0; a < n_max_; ++a) {
                    g += std::pow(cutoff_ - x, a + 3) *
                         basis[static_cast<std::size_t>(a * n_max_ + n)];
                }
                weights_.push_back(quadrature.weights[k] * x * x * g);
            }
        }
    }

    int size() const { return n_max_ * (l_max_ + 1); }

    /// Writes (l_max + 1, n_max) values.
    void evaluate(double r, double* values) {
        std::fill_n(values, size(), 0.0);
        for (std::size_t k = 0; k < n_points; ++k) {
            const double x = points_[k];
            const double gauss = std::exp(-eta_ * (x - r) * (x - r));
            scaled_bessel(l_max_, 2.0 * eta_ * x * r, bessel_.data());
            double power = gauss;
            for (int l = 0; l <= l_max_; ++l) {
                const double factor = power * bessel_[static_cast<std::size_t>(l)];
                for (int n = 0; n < n_max_; ++n) {
                    values[l * n_max_ + n] +=
                        factor * weights_[k * static_cast<std::size_t>(n_max_) +
                                          static_cast<std::size_t>(n)];
                }
                power *= 2.0 * eta_ * x * cutoff_;
            }
        }
    }

  private:
    int n_max_;
    int l_max_;
    double eta_;
    double cutoff_;
    std::vector<double> points_;
    std::vector<double> weights_;  // (points, n_max)
    std::vector<double> bessel_;
};

/// The coefficients of s^i in the interpolation by Chebyshev polynomials at their zeros: row k
/// holds the contribution of the value at zero k to each.
class Interpolation {
  public:
    Interpolation() {
        constexpr int n = degree + 1;
        // Polynomial p's coefficient of s^i.
        std::vector<long double> chebyshev(n * n, 0.0L);
        chebyshev[0] = 1.0L;
        chebyshev[n + 1] = 1.0L;
        for (int p = 2; p < n; ++p) {
            for (int i = 0; i < n; ++i) {
                chebyshev[static_cast<std::size_t>(p * n + i)] =
                    (i > 0 ? 2.0L * chebyshev[static_cast<std::size_t>((p - 1) * n + i - 1)]
                           : 0.0L) -
                    chebyshev[static_cast<std::size_t>((p - 2) * n + i)];
            }
        }
        for (int k = 0; k < n; ++k) {
            const long double angle = 3.14159265358979323846264338328L * (k + 0.5L) / n;
            zeros_.push_back(std::cos(angle));
            for (int i = 0; i < n; ++i) {
                long double sum = 0.0L;
                for (int p = 0; p < n; ++p) {
                    sum += (p == 0 ? 1.0L : 2.0L) * std::cos(p * angle) *
                           chebyshev[static_cast<std::size_t>(p * n + i)];
                }
                contributions_.push_back(sum / n);
            }
        }
    }

    double zero(int k) const { return static_cast<double>(zeros_[static_cast<std::size_t>(k)]); }
    long double contribution(int k, int power) const {
        return contributions_[static_cast<std::size_t>(k * (degree + 1) + power)];
    }

  private:
    std::vector<long double> zeros_;
    std::vector<long double> contributions_;
};

/// The arrays that the kernels read, and the tables that point into them.
class SoapArrays {
  public:
    using Tables = SoapTables;

    SoapArrays(const SoapSettings& settings, int lanes) {
        tables_.n_max = settings.n_max;
        tables_.l_max = settings.l_max;
        tables_.n_species = settings.n_species;
        tables_.width = settings.n_species * (settings.n_species + 1) / 2 * settings.n_max *
                        (settings.n_max + 1) / 2 * (settings.l_max + 1);
        tables_.cutoff = settings.cutoff;
        radial(settings, lanes);
        harmonics();
        tables_.radial = radial_.data();
        tables_.up = up_.data();
        tables_.down = down_.data();
        tables_.along = along_.data();
        tables_.across = across_.data();
        tables_.factors = factors_.data();
    }
    SoapArrays(const SoapArrays&) = delete;
    SoapArrays& operator=(const SoapArrays&) = delete;

    const SoapTables& tables() const { return tables_; }

    double cutoff(int /*center_species*/, int /*neighbour_species*/) const {
        return tables_.cutoff;
    }

  private:
    void radial(const SoapSettings& settings, int lanes) {
        RadialFunctions functions(settings);
        const double widths = settings.cutoff * std::sqrt(2.0 * settings.eta);
        tables_.n_intervals = std::max(8, static_cast<int>(std::ceil(widths / interval_in_widths)));
        tables_.degree = degree;
        tables_.n_radial = (functions.size() + lanes - 1) / lanes * lanes;
        const auto n_radial = static_cast<std::size_t>(tables_.n_radial);
        radial_.assign(static_cast<std::size_t>(tables_.n_intervals) * (degree + 1) * n_radial,
                       0.0);

        const Interpolation interpolation;
        std::vector<double> values(static_cast<std::size_t>(functions.size()));
        std::vector<long double> sums((degree + 1) * n_radial);
        for (int interval = 0; interval < tables_.n_intervals; ++interval) {
            std::fill(sums.begin(), sums.end(), 0.0L);
            for (int k = 0; k <= degree; ++k) {
                const double r = (interval + 0.5 * (interpolation.zero(k) + 1.0)) *
                                 settings.cutoff / tables_.n_intervals;
                functions.evaluate(r, values.data());
                for (int power = 0; power <= degree; ++power) {
                    const long double share = interpolation.contribution(k, power);
                    for (std::size_t i = 0; i < values.size(); ++i) {
                        sums[static_cast<std::size_t>(power) * n_radial + i] += share * values[i];
                    }
                }
            }
            std::copy(sums.begin(), sums.end(),
                      radial_.begin() + static_cast<std::ptrdiff_t>(interval) *
                                            static_cast<std::ptrdiff_t>(sums.size()));
        }
    }

    void harmonics() {
        // N(l, m) in P(l, m) = N r^(l - m) times the m-th derivative of the Legendre polynomial.
        const auto norm = [](int l, int m) {
            double value = (2 * l + 1) / (4.0 * pi) * (m > 0 ? 2.0 : 1.0);
            for (int k = l - m + 1; k <= l + m; ++k) value /= k;
            return std::sqrt(value);
        };
        for (int l = 0; l <= tables_.l_max; ++l) {
            for (int m = 0; m <= l; ++m) {
                double lowest = norm(m, m);
                for (int k = 1; k <= m; ++k) lowest *= 2 * k - 1;
                const double n = norm(l, m);
                up_.push_back(m == l ? lowest : n / norm(l - 1, m) * (2 * l - 1) / (l - m));
                down_.push_back(m < l - 1 ? n / norm(l - 2, m) * (l + m - 1) / (l - m) : 0.0);
                along_.push_back(m < l ? n / norm(l - 1, m) * (l + m) : 0.0);
                across_.push_back(m < l - 1 ? n / norm(l - 1, m + 1) : 0.0);
            }
            factors_.push_back(4.0 * pi * pi * pi * std::sqrt(8.0 / (2 * l + 1)));
        }
    }

    SoapTables tables_;
    std::vector<double> radial_, up_, down_, along_, across_, factors_;
};

}  // namespace

std::unique_ptr<Descriptor> make_soap(const SoapSettings& settings) {
    if (settings.n_species < 1) {
        fail("SOAP needs at least one species, not ", settings.n_species, ".");
    }
    if (settings.n_max < 1 || settings.n_max > largest_n_max) {
        fail("SOAP's n_max must be from 1 to ", largest_n_max, ", not ", settings.n_max,
             ". Train the model with a smaller one.");
    }
    if (settings.l_max < 0 || settings.l_max > largest_l_max) {
        fail("SOAP's l_max must be from 0 to ", largest_l_max, ", not ", settings.l_max,
             ". Train the model with a smaller one.");
    }
    if (!(settings.cutoff > 0.0) || !std::isfinite(settings.cutoff)) {
        fail("SOAP's cutoff must be a positive length, not ", settings.cutoff, " Å.");
    }
    if (!(settings.eta > 0.0) ||
        !(settings.cutoff * std::sqrt(2.0 * settings.eta) < most_intervals * interval_in_widths)) {
        const double widest =
            0.5 * std::pow(most_intervals * interval_in_widths / settings.cutoff, 2);
        fail("SOAP's eta must be positive and less than ", widest,
             " 1/Å², at which a neighbour is as narrow as a thousandth of the cutoff, not ",
             settings.eta, " 1/Å². Train the model with an eta in this range.");
    }
    return std::make_unique<KernelDescriptor<SoapArrays>>(settings);
}

}  // namespace torchml
