#include "inputs/neighbours.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "engine/error.hpp"

namespace torchml {

namespace {

class NeighbourInputs final : public Inputs {
  public:
    NeighbourInputs(double cutoff, at::ScalarType scalar) : cutoff_(cutoff), scalar_(scalar) {}

    std::vector<std::string> argument_names() const override {
        return {"species", "coords", "n_neigh", "nlist", "contributing"};
    }

    std::size_t differentiable() const override { return 1; }

    bool needs_only_contributing_neighbours() const override { return true; }

    void prepare(const System& system) override {
        const auto n = static_cast<std::size_t>(system.n);
        species_.assign(system.species, system.species + n);
        contributing_.assign(system.contributing, system.contributing + n);
        coordinates_.resize(3 * n);
        for (std::size_t k = 0; k < 3 * n; ++k) {
            coordinates_[k] = system.coordinates[k] * system.angstrom;
        }
        n_neighbours_.clear();
        n_pairs_ = 0;
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (contributing_[static_cast<std::size_t>(i)] != 0) append_row(i, system);
        }
    }

    std::vector<at::Tensor> tensors() const override {
        const auto n = static_cast<std::int64_t>(species_.size());
        auto coordinates = view(coordinates_, {n, 3}, at::kDouble);
        if (scalar_ != at::kDouble) coordinates = coordinates.to(scalar_);
        return {view(species_, {n}, at::kLong), std::move(coordinates),
                view(n_neighbours_, {static_cast<std::int64_t>(n_neighbours_.size())}, at::kInt),
                view(neighbours_, {static_cast<std::int64_t>(n_pairs_)}, at::kInt),
                view(contributing_, {n}, at::kLong)};
    }

    bool has_pairs() const override { return n_pairs_ != 0; }

    void forces_from(const at::Tensor& gradient, double* forces) const override {
        const auto* values = gradient.data_ptr<double>();
        for (std::size_t k = 0; k < coordinates_.size(); ++k) forces[k] = -values[k];
    }

  private:
    template <class Value>
    static at::Tensor view(const std::vector<Value>& buffer, at::IntArrayRef sizes,
                           at::ScalarType type) {
        // Torch has no read-only views; models do not write into their inputs.
        auto* data = const_cast<Value*>(buffer.data());
        // An empty vector has no address, and from_blob wants one.
        if (data == nullptr) return at::empty(sizes, type);
        return at::from_blob(data, sizes, type);
    }

    /// Appends the neighbours of particle i that are nearer than the cutoff.
    void append_row(std::int64_t i, const System& system) {
        const Neighbours list = system.neighbours->of(i);
        const auto count = static_cast<std::size_t>(list.count);
        if (neighbours_.size() < n_pairs_ + count) neighbours_.resize(2 * (n_pairs_ + count));
        const double* x = coordinates_.data();
        const double xi = x[3 * i], yi = x[3 * i + 1], zi = x[3 * i + 2];
        const double limit = cutoff_ * cutoff_;
        std::int32_t* row = neighbours_.data() + n_pairs_;
        std::size_t kept = 0;
        for (std::size_t k = 0; k < count; ++k) {
            const int j = list.indices[k];
            if (j < 0 || j >= system.n) {
                fail("the simulator's neighbour list of particle ", i, " names particle ", j,
                     "; there are ", system.n, ".");
            }
            const double dx = x[3 * j] - xi, dy = x[3 * j + 1] - yi, dz = x[3 * j + 2] - zi;
            row[kept] = j;
            kept += dx * dx + dy * dy + dz * dz < limit;  // no branch: half of a skin's pairs fail
        }
        n_neighbours_.push_back(static_cast<std::int32_t>(kept));
        n_pairs_ += kept;
    }

    double cutoff_;
    at::ScalarType scalar_;
    std::vector<std::int64_t> species_;
    std::vector<double> coordinates_;
    std::vector<std::int32_t> n_neighbours_;
    std::vector<std::int32_t> neighbours_;  // its first n_pairs_ entries count
    std::vector<std::int64_t> contributing_;
    std::size_t n_pairs_ = 0;
};

}  // namespace

std::unique_ptr<Inputs> make_neighbour_inputs(double cutoff, at::ScalarType scalar) {
    return std::make_unique<NeighbourInputs>(cutoff, scalar);
}

}  // namespace torchml
