#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/parameters.hpp"
#include "base/system.hpp"
#include "inputs/ghosts.hpp"
#include "inputs/graph_facts.hpp"

namespace torchml {

class NearNeighbours;
class RowExchange;

/// When a model gets company: particles added to a system without a pair within the cutoff, on
/// which many models fail. Their energies and forces reach no result.
enum class Company {
    never,      ///< the model sees no pairs
    if_needed,  ///< company would contribute like other particles: only if the model fails without
    always,     ///< company does not contribute, which leaves well-behaved models unaffected
};

/// One calling convention: turns a system into a model's inputs, and the gradient with respect to
/// those inputs into forces. Owns its buffers and reuses them from step to step.
class Inputs {
  public:
    virtual ~Inputs() = default;

    /// The names of forward's arguments, in order; for messages and to check a model's signature.
    virtual std::vector<std::string> argument_names() const = 0;

    /// The index of the argument that the energy is differentiated with respect to.
    virtual std::size_t differentiable() const = 0;

    /// Whether prepare() requests the neighbours of contributing particles only.
    virtual bool needs_only_contributing_neighbours() const = 0;

    /// How many cutoffs away from a contributing particle others have to be passed.
    virtual int reach() const = 0;

    /// Whether prepare() may wait for other ranks, which have to call it, too: even a rank without
    /// contributing particles then calls it, but does not evaluate the model.
    virtual bool prepares_together() const { return false; }

    /// The exchange of features with other ranks in this evaluation; nullptr: there is none.
    virtual std::shared_ptr<RowExchange> exchange() const { return nullptr; }

    /// Inputs that differ in what other ranks' nodes receive. A model that has all their features
    /// sent between its layers gives the same energies. Only at the first exchange; otherwise
    /// empty, and on all ranks alike.
    virtual std::vector<at::Tensor> tensors_to_compare() const { return {}; }

    /// Fills the buffers. Throws Error for neighbours that do not exist and for coordinates that
    /// are not finite.
    virtual void prepare(const System& system) = 0;

    /// The neighbours that prepare() kept of the simulator's lists: first a row for each
    /// contributing particle, in their order.
    virtual const NearNeighbours& neighbours() const = 0;

    /// The coordinates of the system's particles, (n, 3) Å, as of prepare().
    virtual const std::vector<double>& coordinates() const = 0;

    /// Does the expensive part of the work on the prepared system, without the simulator.
    virtual void complete() {}

    /// The completed inputs: views of the buffers, valid until the next prepare().
    virtual std::vector<at::Tensor> tensors() const = 0;

    /// Whether any pair of the system's particles is within the cutoff; without one, a model's
    /// energy may legitimately not depend on coordinates.
    virtual bool has_pairs() const = 0;

    virtual Company company() const = 0;

    /// Appends a group of particles of one species, each with the others as neighbours, until the
    /// next prepare(). Call it only if there are no pairs; each call adds another group.
    virtual void add_company(std::int64_t /*species_code*/) {}

    /// The number of particles added.
    virtual std::int64_t n_company() const { return 0; }

    /// The number of particles that the model sees, which may be more or fewer than the system has.
    virtual std::int64_t n_particles() const = 0;

    /// The graph of the last prepare(); empty if the convention makes only one kind.
    virtual std::optional<GraphFacts> graph() const { return std::nullopt; }

    /// Writes `width` values of each particle that the model sees to the system's particles in
    /// `result` (n, width); the values of particles that it does not see stay unchanged.
    virtual void to_system(const double* values, int width, double* result) const = 0;

    /// Writes forces (n, 3), eV/Å, from the gradient with respect to the differentiable input; the
    /// forces on particles that the model does not see stay unchanged.
    virtual void forces_from(const at::Tensor& gradient, double* forces) const = 0;

    /// Whether all images that the model saw are particles: without them, no virial follows from
    /// forces and coordinates.
    virtual bool has_all_images() const { return true; }

    /// Whether the virial follows from the gradient itself. Otherwise it follows from forces and
    /// coordinates, for which all images have to be particles.
    virtual bool defines_virial() const { return false; }

    /// Writes the virial (6), eV; only if defines_virial(), and as particle_virials_from().
    virtual void virial_from(const at::Tensor& /*gradient*/, double* /*virial*/) const {}

    /// Whether each particle's part of the virial follows from the gradient. It does if the energy
    /// is a sum over particles of functions of their own neighbours' displacements r_ij: particle
    /// i's part is then Σ_j r_ij ∂E_i/∂r_ij. It does not follow from the gradient with respect to
    /// all coordinates.
    virtual bool defines_particle_virial() const { return false; }

    /// Writes the particles' virials (n, 6), eV, from the gradient with respect to the
    /// differentiable input. Called after forces_from() with the same gradient, and only if
    /// defines_particle_virial().
    virtual void particle_virials_from(const at::Tensor& /*gradient*/, double* /*virials*/) const {}
};

/// Everything needed to make the inputs of a calling convention.
struct InputsSource {
    const Parameters& parameters;
    const std::vector<int>& species_codes;            ///< of each element, in their order
    const std::vector<std::filesystem::path>& files;  ///< of the portable model
    at::ScalarType scalar;  ///< the model's floating-point type (see Runtime::scalar_type)
    bool rounded;           ///< coordinates may be rounded (see Runtime::may_round_inputs)
    Ghosts ghosts = Ghosts::stage;
    bool exchanges = false;  ///< the model calls torch.ops.torchml.exchange
};

}  // namespace torchml
