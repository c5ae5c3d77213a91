#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/system.hpp"

namespace torchml {

/// Computes descriptors without a model, by the same code as for a model. Use an object from one
/// thread at a time.
class DescriptorCalculator {
  public:
    /// `file`: a descriptor file (`*.dat`). `elements`: in the order of species codes 0, 1, 2, ...
    /// Throws Error.
    DescriptorCalculator(const std::filesystem::path& file,
                         const std::vector<std::string>& elements);
    ~DescriptorCalculator();
    DescriptorCalculator(DescriptorCalculator&&) noexcept;

    /// "SymmetryFunctions", "Bispectrum" or "SOAP".
    const std::string& kind() const;
    int width() const;
    /// Å: the largest of the pairs' cutoffs.
    double cutoff() const;

    /// Writes the descriptors of the contributing particles, (n_contributing, width).
    void values(const System& system, double* values);

    /// Writes the vector-Jacobian product: the gradient of the sum of `weights` (n_contributing,
    /// width) times the descriptors with respect to the positions of all particles, (n, 3), 1/Å
    /// times the unit of the weights, and with respect to the strain, (6) xx, yy, zz, yz, xz, xy.
    /// Either may be null. Throws Error.
    void vjp(const System& system, const double* weights, double* gradient, double* virial);

  private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace torchml
