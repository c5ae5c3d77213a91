#include "inputs/neighbours.hpp"

#include <algorithm>

#include "inputs/buffers.hpp"

namespace torchml {

namespace {

class NeighbourInputs final : public Inputs {
  public:
    NeighbourInputs(double cutoff, at::ScalarType scalar) : scalar_(scalar), near_(cutoff) {}

    std::vector<std::string> argument_names() const override {
        return {"species", "coords", "n_neigh", "nlist", "contributing"};
    }

    std::size_t differentiable() const override { return 1; }

    bool needs_only_contributing_neighbours() const override { return true; }

    void prepare(const System& system) override {
        species_.assign(system.species, system.species + system.n);
        contributing_.resize(species_.size());
        std::transform(system.contributing, system.contributing + system.n, contributing_.begin(),
                       [](int flag) { return flag != 0 ? 1 : 0; });
        fill_coordinates(system, coordinates_);
        near_.clear();
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (system.contributing[i] != 0) near_.append_row(i, system, coordinates_);
        }
    }

    std::vector<at::Tensor> tensors() const override {
        return {view(species_, {n_particles()}), view(coordinates_, {n_particles(), 3}).to(scalar_),
                view(near_.counts(), {near_.n_rows()}), view(near_.indices(), {near_.n_pairs()}),
                view(contributing_, {n_particles()})};
    }

    bool has_pairs() const override { return near_.n_pairs() != 0; }

    std::int64_t n_particles() const override { return static_cast<std::int64_t>(species_.size()); }

    void to_system(const double* values, int width, double* result) const override {
        std::copy(values, values + n_particles() * width, result);
    }

    void forces_from(const at::Tensor& gradient, double* forces) const override {
        const auto* values = gradient.data_ptr<double>();
        for (std::size_t k = 0; k < coordinates_.size(); ++k) forces[k] = -values[k];
    }

  private:
    at::ScalarType scalar_;
    std::vector<std::int64_t> species_;
    std::vector<double> coordinates_;
    NearNeighbours near_;
    std::vector<std::int64_t> contributing_;
};

}  // namespace

std::unique_ptr<Inputs> make_neighbour_inputs(double cutoff, at::ScalarType scalar) {
    return std::make_unique<NeighbourInputs>(cutoff, scalar);
}

}  // namespace torchml
