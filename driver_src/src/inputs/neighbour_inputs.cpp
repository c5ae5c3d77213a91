#include "inputs/neighbour_inputs.hpp"

#include <algorithm>

#include "inputs/buffers.hpp"
#include "inputs/placing.hpp"

namespace torchml {

namespace {

class NeighbourInputs final : public Inputs {
  public:
    NeighbourInputs(double cutoff, at::ScalarType scalar, bool rounded)
        : cutoff_(cutoff), scalar_(scalar), rounded_(rounded), near_(cutoff) {}

    std::vector<std::string> argument_names() const override {
        return {"species", "coords", "n_neigh", "nlist", "contributing"};
    }

    std::size_t differentiable() const override { return 1; }

    bool needs_only_contributing_neighbours() const override { return true; }

    int reach() const override { return 1; }

    void prepare(const System& system) override {
        n_company_ = 0;
        n_particles_ = system.n;
        species_.renew().assign(system.species, system.species + system.n);
        std::vector<std::int64_t>& contributing = contributing_.renew();
        contributing.resize(static_cast<std::size_t>(system.n));
        std::transform(system.contributing, system.contributing + system.n, contributing.begin(),
                       [](int flag) { return flag != 0 ? 1 : 0; });
        fill_coordinates(system, coordinates_.renew());
        near_.clear();
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (system.contributing[i] != 0) near_.append_row(i, system, *coordinates_);
        }
        moved_ = rounded_;
        if (!moved_) return;
        moved_coordinates_.renew() = *coordinates_;
        move_together(cutoff_, *moved_coordinates_);
    }

    const NearNeighbours& neighbours() const override { return near_; }

    const std::vector<double>& coordinates() const override { return *coordinates_; }

    std::vector<at::Tensor> tensors() const override {
        const auto& coordinates = moved_ ? moved_coordinates_ : coordinates_;
        const std::int64_t n = n_particles();
        return {species_.view({n}), coordinates.view({n, 3}).to(scalar_), near_.counts_tensor(),
                near_.indices_tensor(), contributing_.view({n})};
    }

    bool has_pairs() const override { return n_company_ == 0 && near_.n_pairs() != 0; }

    Company company() const override { return Company::if_needed; }

    /// The company contributes, since only contributing particles have rows.
    void add_company(std::int64_t species_code) override {
        if (!moved_) moved_coordinates_.renew() = *coordinates_;
        moved_ = true;
        append_company(cutoff_, cutoff_, static_cast<int>(n_company_ / company_size),
                       moved_coordinates_.extend());
        near_.append_group(static_cast<std::int32_t>(n_particles()), company_size);
        const auto n = static_cast<std::size_t>(n_particles() + company_size);
        species_.extend().resize(n, species_code);
        contributing_.extend().resize(n, 1);
        n_company_ += company_size;
    }

    std::int64_t n_company() const override { return n_company_; }

    std::int64_t n_particles() const override { return n_particles_ + n_company_; }

    void to_system(const double* values, int width, double* result) const override {
        std::copy(values, values + n_particles_ * width, result);
    }

    void forces_from(const at::Tensor& gradient, double* forces) const override {
        const auto* values = gradient.data_ptr<double>();
        for (std::int64_t k = 0; k < 3 * n_particles_; ++k) forces[k] = -values[k];
    }

  private:
    double cutoff_;
    at::ScalarType scalar_;
    bool rounded_;                  // the model rounds coordinates
    std::int64_t n_particles_ = 0;  // of the system
    std::int64_t n_company_ = 0;    // added to them
    Buffer<std::int64_t> species_;
    Buffer<double> coordinates_;
    bool moved_ = false;  // the model gets moved_coordinates_
    Buffer<double> moved_coordinates_;
    NearNeighbours near_;
    Buffer<std::int64_t> contributing_;
};

}  // namespace

std::unique_ptr<Inputs> make_neighbour_inputs(double cutoff, at::ScalarType scalar, bool rounded) {
    return std::make_unique<NeighbourInputs>(cutoff, scalar, rounded);
}

}  // namespace torchml
