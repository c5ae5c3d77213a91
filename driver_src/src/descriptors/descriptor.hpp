#pragma once

#include <memory>

#include "descriptors/neighbourhoods.hpp"
#include "descriptors/settings.hpp"

namespace torchml {

/// A descriptor of particles' neighbourhoods. Computes block by block; threads share an object,
/// each with its own Scratch.
class Descriptor {
  public:
    /// One thread's memory; grows to what the largest block needs, and is kept.
    class Scratch {
      public:
        virtual ~Scratch() = default;
    };

    virtual ~Descriptor() = default;

    /// How many values a particle has.
    virtual int width() const = 0;

    /// Å: the distance up to which neighbours of these species count.
    virtual double cutoff(int center_species, int neighbour_species) const = 0;

    virtual std::unique_ptr<Scratch> make_scratch() const = 0;

    /// Writes the descriptors, (n, width).
    virtual void values(const Neighbourhoods& block, Scratch& scratch, double* values) const = 0;

    /// Writes the vector-Jacobian product: the gradient of the sum of `weights` (n, width) times
    /// the descriptors with respect to each neighbour's position, gx, gy, gz (pairs), 1/Å. With
    /// respect to the centre's own position, it is minus the sum over the neighbours.
    virtual void vjp(const Neighbourhoods& block, const double* weights, Scratch& scratch,
                     double* gx, double* gy, double* gz) const = 0;
};

/// The descriptor that the settings describe, computed by the driver's own code. Throws Error for
/// invalid settings.
std::unique_ptr<Descriptor> make_descriptor(const DescriptorSettings& settings);

}  // namespace torchml
