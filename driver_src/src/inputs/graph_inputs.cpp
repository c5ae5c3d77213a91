#include "inputs/graph_inputs.hpp"

#include <algorithm>

#include "inputs/buffers.hpp"
#include "inputs/placing.hpp"

namespace torchml {

namespace {

class GraphInputs final : public Inputs {
  public:
    GraphInputs(double cutoff, int n_layers, const GraphSettings& settings, at::ScalarType scalar,
                bool rounded)
        : cutoff_(cutoff),
          settings_(settings),
          scalar_(scalar),
          rounded_(rounded),
          near_(cutoff),
          layers_(static_cast<std::size_t>(n_layers)) {}

    std::vector<std::string> argument_names() const override {
        std::vector<std::string> names = {"species", "coords"};
        for (std::size_t k = 1; k <= layers_.size(); ++k) {
            names.push_back("graph_layer" + std::to_string(k));
        }
        names.push_back("contributing");
        return names;
    }

    std::size_t differentiable() const override { return 1; }

    bool needs_only_contributing_neighbours() const override { return false; }

    int reach() const override { return static_cast<int>(layers_.size()); }

    void prepare(const System& system) override {
        n_company_ = 0;
        fill_coordinates(system, coordinates_.renew());
        grow(system);
        number_particles(system);
        for (std::size_t k = 0; k < layers_.size(); ++k) write_layer(k);
        moved_ = renumbered_ || rounded_;
        if (moved_ && !renumbered_) moved_coordinates_.renew() = *coordinates_;
        if (rounded_) move_together(cutoff_, *moved_coordinates_);
    }

    const NearNeighbours& neighbours() const override { return near_; }

    const std::vector<double>& coordinates() const override { return *coordinates_; }

    std::vector<at::Tensor> tensors() const override {
        const std::int64_t n = n_particles();
        const auto& coordinates = moved_ ? moved_coordinates_ : coordinates_;
        std::vector<at::Tensor> inputs = {species_.view({n}), coordinates.view({n, 3}).to(scalar_)};
        for (const Edges& layer : layers_) {
            inputs.push_back(layer.view({2, static_cast<std::int64_t>((*layer).size() / 2)}));
        }
        inputs.push_back(not_contributing_.view({n}));
        return inputs;
    }

    bool has_pairs() const override { return near_.n_pairs() != 0; }

    Company company() const override { return Company::always; }

    void add_company(std::int64_t species_code) override {
        if (!moved_) moved_coordinates_.renew() = *coordinates_;
        moved_ = true;
        const auto reach = cutoff_ * static_cast<double>(layers_.size());
        append_company(cutoff_, reach, static_cast<int>(n_company_ / company_size),
                       moved_coordinates_.extend());
        n_company_ += company_size;
        const auto n = static_cast<std::size_t>(n_real_ + n_company_);
        species_.extend().resize(n, species_code);
        not_contributing_.extend().resize(n, 1);
        for (Edges& layer : layers_) write_company(layer.renew());
    }

    std::int64_t n_company() const override { return n_company_; }

    std::int64_t n_particles() const override {
        return static_cast<std::int64_t>((*species_).size());
    }

    void to_system(const double* values, int width, double* result) const override {
        scatter(values, width, 1.0, result);
    }

    void forces_from(const at::Tensor& gradient, double* forces) const override {
        scatter(gradient.data_ptr<double>(), 3, -1.0, forces);
    }

  private:
    using Edges = Buffer<std::int64_t>;  // (2, edges)

    /// Finds every particle within reach, ring by ring outwards from the contributing particles,
    /// and the neighbours of all rings but the last.
    void grow(const System& system) {
        near_.clear();
        reached_.clear();
        ring_.assign(static_cast<std::size_t>(system.n), unreached);
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (system.contributing[i] == 0) continue;
            ring_[static_cast<std::size_t>(i)] = 0;
            reached_.push_back(static_cast<std::int32_t>(i));
        }
        ring_ends_.clear();
        pair_ends_.clear();
        std::size_t next = 0;
        for (int ring = 0; ring < static_cast<int>(layers_.size()); ++ring) {
            const std::size_t end = reached_.size();
            for (; next < end; ++next) {
                const auto first = static_cast<std::size_t>(near_.n_pairs());
                near_.append_row(reached_[next], system, *coordinates_);
                const auto& indices = near_.indices();
                for (auto k = first; k < static_cast<std::size_t>(near_.n_pairs()); ++k) {
                    const std::int32_t j = indices[k];
                    if (ring_[static_cast<std::size_t>(j)] != unreached) continue;
                    ring_[static_cast<std::size_t>(j)] = ring + 1;
                    reached_.push_back(j);
                }
            }
            ring_ends_.push_back(end);
            pair_ends_.push_back(static_cast<std::size_t>(near_.n_pairs()));
        }
    }

    /// Chooses the particles that the model sees, and numbers them: all particles, or those in any
    /// graph, ring by ring. With rings in order, compiled models skip rows of outer rings.
    void number_particles(const System& system) {
        const auto n = static_cast<std::size_t>(system.n);
        renumbered_ = settings_.drop_unused_particles && ring_ends_.front() < n;
        species_.renew().clear();
        not_contributing_.renew().clear();
        if (renumbered_) {
            sort_by_ring();
            number_.resize(n);
            const double* coordinates = (*coordinates_).data();
            std::vector<double>& kept = moved_coordinates_.renew();
            kept.clear();
            for (std::size_t k = 0; k < original_.size(); ++k) {
                const auto i = static_cast<std::size_t>(original_[k]);
                number_[i] = static_cast<std::int32_t>(k);
                kept.insert(kept.end(), coordinates + 3 * i, coordinates + 3 * i + 3);
                append(system, i);
            }
        } else {
            for (std::size_t i = 0; i < n; ++i) append(system, i);
        }
        n_real_ = n_particles();
    }

    void append(const System& system, std::size_t i) {
        (*species_).push_back(system.species[i]);
        (*not_contributing_).push_back(ring_[i] == 0 ? 0 : 1);
    }

    /// Keeps the simulator's order within a ring, so that what is near in space is near in memory.
    void sort_by_ring() {
        std::vector<std::size_t> next = {0};
        next.insert(next.end(), ring_ends_.begin(), ring_ends_.end());
        original_.resize(reached_.size());
        for (std::size_t i = 0; i < ring_.size(); ++i) {
            if (ring_[i] == unreached) continue;
            original_[next[static_cast<std::size_t>(ring_[i])]++] = static_cast<std::int32_t>(i);
        }
    }

    std::int64_t number_of(std::int32_t particle) const {
        return renumbered_ ? number_[static_cast<std::size_t>(particle)] : particle;
    }

    /// Writes the edges of layer k (from 0): all pairs of the particles in rings 0 to k. A pair
    /// whose second particle is in these rings, too, already appears in both rows; any other pair
    /// is reversed for the second direction.
    void write_layer(std::size_t k) {
        const std::size_t n_pairs = pair_ends_[k];
        const auto& indices = near_.indices();
        const int last_ring = static_cast<int>(k);
        const std::size_t outermost =
            k == 0 ? 0 : pair_ends_[k - 1];  // only ring k meets ring k + 1
        std::size_t n_turned = 0;
        if (!settings_.edge_receiver_row) {
            for (std::size_t pair = outermost; pair < n_pairs; ++pair) {
                n_turned += ring_[static_cast<std::size_t>(indices[pair])] > last_ring;
            }
        }
        const std::size_t n_edges = n_pairs + n_turned;
        std::vector<std::int64_t>& edges = layers_[k].renew();
        edges.resize(2 * n_edges);
        const bool receivers_first = settings_.edge_receiver_row.value_or(0) == 0;
        std::int64_t* center = edges.data() + (receivers_first ? 0 : n_edges);
        std::int64_t* neighbour = edges.data() + (receivers_first ? n_edges : 0);
        std::size_t pair = 0, turned = n_pairs;
        for (std::size_t row = 0; row < ring_ends_[k]; ++row) {
            const std::int64_t i = number_of(reached_[row]);
            const std::size_t end = pair + static_cast<std::size_t>(near_.counts()[row]);
            for (; pair < end; ++pair) {
                const std::int64_t j = number_of(indices[pair]);
                center[pair] = i;
                neighbour[pair] = j;
                if (n_turned != 0 && pair >= outermost &&
                    ring_[static_cast<std::size_t>(indices[pair])] > last_ring) {
                    center[turned] = j;
                    neighbour[turned++] = i;
                }
            }
        }
    }

    /// Writes the company's edges into a layer that has no others.
    void write_company(std::vector<std::int64_t>& edges) const {
        std::vector<std::int64_t> neighbours;
        edges.clear();
        for (std::int64_t i = 0; i < n_company_; ++i) {
            const std::int64_t first = i - i % company_size;
            for (std::int64_t j = first; j < first + company_size; ++j) {
                if (j == i) continue;
                edges.push_back(n_real_ + i);
                neighbours.push_back(n_real_ + j);
            }
        }
        edges.insert(edges.end(), neighbours.begin(), neighbours.end());
    }

    void scatter(const double* values, int width, double factor, double* result) const {
        if (!renumbered_) {
            for (std::int64_t k = 0; k < n_real_ * width; ++k) result[k] = factor * values[k];
            return;
        }
        for (const std::int64_t particle : original_) {
            for (int k = 0; k < width; ++k) result[particle * width + k] = factor * *values++;
        }
    }

    static constexpr int unreached = -1;

    double cutoff_;
    GraphSettings settings_;
    at::ScalarType scalar_;
    bool rounded_;                        // the model rounds coordinates
    Buffer<double> coordinates_;          // of all particles
    NearNeighbours near_;                 // a row per reached particle, but for the last ring
    std::vector<std::int32_t> reached_;   // every particle in any graph, ring after ring
    std::vector<int> ring_;               // of each particle: hops from a contributing one
    std::vector<std::size_t> ring_ends_;  // where each ring ends in reached_
    std::vector<std::size_t> pair_ends_;  // where each ring ends in near_
    std::vector<Edges> layers_;
    bool renumbered_ = false;             // the model sees particles in another order
    std::vector<std::int32_t> number_;    // of each particle: its number for the model
    std::vector<std::int32_t> original_;  // of each that the model sees: its own number
    bool moved_ = false;                  // the model gets moved_coordinates_
    Buffer<double> moved_coordinates_;
    Buffer<std::int64_t> species_;
    Buffer<std::int64_t> not_contributing_;
    std::int64_t n_real_ = 0;     // particles that the model sees and that exist
    std::int64_t n_company_ = 0;  // particles added after them
};

}  // namespace

std::unique_ptr<Inputs> make_graph_inputs(double cutoff, int n_layers,
                                          const GraphSettings& settings, at::ScalarType scalar,
                                          bool rounded) {
    return std::make_unique<GraphInputs>(cutoff, n_layers, settings, scalar, rounded);
}

}  // namespace torchml
