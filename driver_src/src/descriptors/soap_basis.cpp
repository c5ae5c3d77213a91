#include "descriptors/soap_basis.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "base/error.hpp"

// This file is compiled without contracting a * b + c into one operation: the inverse below must
// equal libdescriptor's, and for a nearly singular matrix the rounding decides the result.

namespace torchml {
namespace {

/// A square matrix, stored by columns.
class Matrix {
  public:
    explicit Matrix(int n) : n_(n), values_(static_cast<std::size_t>(n) * n, 0.0) {}
    int n() const { return n_; }
    double& operator()(int row, int column) {
        return values_[static_cast<std::size_t>(column * n_ + row)];
    }
    double operator()(int row, int column) const {
        return values_[static_cast<std::size_t>(column * n_ + row)];
    }

  private:
    int n_;
    std::vector<double> values_;
};

Matrix overlap(int n_max, double cutoff) {
    Matrix s(n_max);
    for (int i = 1; i <= n_max; ++i) {
        for (int j = 1; j <= n_max; ++j) {
            const int sum = i + j;
            s(i - 1, j - 1) = (2 * std::pow(cutoff, 7 + sum)) / ((5 + sum) * (6 + sum) * (7 + sum));
        }
    }
    return s;
}

/// The number of rows that a triangular solve eliminates one by one before it subtracts them from
/// the rest at once.
constexpr int panel = 4;

/// Subtracts from `to` rows of x, rows first ... first + count - 1, times a's columns of these.
void subtract_panel(const Matrix& a, int first, int count, int from_row, int to_row, Matrix& x) {
    for (int column = 0; column < x.n(); ++column) {
        for (int row = from_row; row < to_row; ++row) {
            double sum = 0.0;
            for (int k = first; k < first + count; ++k) sum += a(row, k) * x(k, column);
            x(row, column) -= sum;
        }
    }
}

/// The inverse by LU factors with row exchanges, in Eigen's order of operations.
Matrix inverse(Matrix a) {
    const int n = a.n();
    Matrix x(n);
    for (int i = 0; i < n; ++i) x(i, i) = 1.0;
    for (int k = 0; k < n; ++k) {
        int pivot = k;
        for (int row = k + 1; row < n; ++row) {
            if (std::abs(a(row, k)) > std::abs(a(pivot, k))) pivot = row;
        }
        for (int column = 0; column < n && pivot != k; ++column) {
            std::swap(a(k, column), a(pivot, column));
            std::swap(x(k, column), x(pivot, column));
        }
        for (int row = k + 1; row < n; ++row) a(row, k) /= a(k, k);
        for (int column = k + 1; column < n; ++column) {
            for (int row = k + 1; row < n; ++row) a(row, column) -= a(row, k) * a(k, column);
        }
    }
    // Solve with the lower factor, whose diagonal is 1.
    for (int first = 0; first < n; first += panel) {
        const int count = std::min(panel, n - first);
        for (int k = first; k < first + count; ++k) {
            for (int column = 0; column < n; ++column) {
                for (int row = k + 1; row < first + count; ++row) {
                    x(row, column) -= x(k, column) * a(row, k);
                }
            }
        }
        subtract_panel(a, first, count, first + count, n, x);
    }
    // Solve with the upper factor, from its end.
    for (int end = n; end > 0; end -= panel) {
        const int first = std::max(0, end - panel);
        for (int k = end - 1; k >= first; --k) {
            const double reciprocal = 1.0 / a(k, k);
            for (int column = 0; column < n; ++column) {
                x(k, column) *= reciprocal;
                for (int row = first; row < k; ++row) x(row, column) -= x(k, column) * a(row, k);
            }
        }
        subtract_panel(a, first, end - first, 0, first, x);
    }
    return x;
}

/// Computes the eigenvalues and eigenvectors (columns of `vectors`) of the symmetric matrix whose
/// lower triangle is a's, by Jacobi rotations.
void diagonalise(const Matrix& a, std::vector<long double>& values,
                 std::vector<long double>& vectors) {
    const int n = a.n();
    const auto at = [n](int row, int column) { return static_cast<std::size_t>(column * n + row); };
    std::vector<long double> m(at(0, n));
    vectors.assign(m.size(), 0.0L);
    for (int i = 0; i < n; ++i) {
        vectors[at(i, i)] = 1.0L;
        for (int j = 0; j < n; ++j) m[at(i, j)] = i >= j ? a(i, j) : a(j, i);
    }
    for (bool rotated = true; rotated;) {
        rotated = false;
        for (int p = 0; p < n; ++p) {
            for (int q = p + 1; q < n; ++q) {
                const long double off = m[at(p, q)];
                const long double p_value = m[at(p, p)];
                const long double q_value = m[at(q, q)];
                const long double larger = std::max(std::abs(p_value), std::abs(q_value));
                if (larger + std::abs(off) == larger &&
                    std::abs(off) <= 1e-40L * std::max(larger, 1e-300L)) {
                    continue;
                }
                const long double ratio = (q_value - p_value) / (2.0L * off);
                const long double t =
                    (ratio >= 0.0L ? 1.0L : -1.0L) / (std::abs(ratio) + std::hypot(1.0L, ratio));
                const long double c = 1.0L / std::sqrt(1.0L + t * t);
                const long double s = t * c;
                if (!(std::abs(t) > 1e-30L)) continue;
                rotated = true;
                for (int k = 0; k < n; ++k) {
                    const long double kp = m[at(k, p)];
                    const long double kq = m[at(k, q)];
                    m[at(k, p)] = c * kp - s * kq;
                    m[at(k, q)] = s * kp + c * kq;
                }
                for (int k = 0; k < n; ++k) {
                    const long double pk = m[at(p, k)];
                    const long double qk = m[at(q, k)];
                    m[at(p, k)] = c * pk - s * qk;
                    m[at(q, k)] = s * pk + c * qk;
                    const long double vp = vectors[at(k, p)];
                    const long double vq = vectors[at(k, q)];
                    vectors[at(k, p)] = c * vp - s * vq;
                    vectors[at(k, q)] = s * vp + c * vq;
                }
                m[at(p, q)] = 0.0L;
                m[at(q, p)] = 0.0L;
            }
        }
    }
    values.resize(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) values[static_cast<std::size_t>(i)] = m[at(i, i)];
}

}  // namespace

std::vector<double> polynomial_basis(int n_max, double cutoff) {
    const Matrix inverted = inverse(overlap(n_max, cutoff));
    std::vector<long double> values, vectors;
    diagonalise(inverted, values, vectors);
    for (const long double value : values) {
        if (!(value >= 0.0L)) {
            fail("SOAP's radial basis with n_max = ", n_max, " and a cutoff of ", cutoff,
                 " Å cannot be made orthonormal in double precision; libdescriptor's is nan. ",
                 "Train the model with a smaller n_max (up to 6 is safe).");
        }
    }
    const auto n = static_cast<std::size_t>(n_max);
    std::vector<double> basis(n * n);
    for (std::size_t row = 0; row < n; ++row) {
        for (std::size_t column = 0; column < n; ++column) {
            long double sum = 0.0L;
            for (std::size_t k = 0; k < n; ++k) {
                sum += vectors[k * n + row] * std::sqrt(values[k]) * vectors[k * n + column];
            }
            basis[row * n + column] = static_cast<double>(sum);
        }
    }
    return basis;
}

}  // namespace torchml
