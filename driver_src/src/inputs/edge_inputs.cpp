#include "inputs/edge_inputs.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.hpp"
#include "inputs/buffers.hpp"
#include "inputs/image_owners.hpp"
#include "inputs/owner_choice.hpp"
#include "inputs/placing.hpp"
#include "inputs/rank_owners.hpp"
#include "process/launcher.hpp"
#include "process/ranks.hpp"
#include "process/running_lammps.hpp"

namespace torchml {

namespace {

bool one_of_several_ranks() {
    const auto launcher = process_launcher();
    return launcher && std::max(launcher->size, launcher->local_size) > 1;
}

class EdgeInputs final : public Inputs {
  public:
    EdgeInputs(double cutoff, int n_layers, EdgeModel model, Ghosts ghosts, at::ScalarType scalar)
        : cutoff_(cutoff),
          n_layers_(n_layers),
          model_(model),
          ghosts_(ghosts),
          several_ranks_(ghosts == Ghosts::automatic && n_layers > 1 && one_of_several_ranks()),
          scalar_(scalar),
          near_(cutoff) {}

    std::vector<std::string> argument_names() const override {
        return {"species", "edge_index", "edge_vectors", "contributing"};
    }

    std::size_t differentiable() const override { return 2; }

    bool needs_only_contributing_neighbours() const override { return reach() == 1; }

    int reach() const override {
        return ghosts_ == Ghosts::fold || ghosts_ == Ghosts::exchange ? 1 : n_layers_;
    }

    bool prepares_together() const override {
        return n_layers_ > 1 &&
               (ghosts_ == Ghosts::exchange ||
                (ghosts_ == Ghosts::automatic && model_.exchanges && !model_.returns_node_forces));
    }

    std::shared_ptr<RowExchange> exchange() const override {
        return exchanged_ ? rank_owners_->exchange() : nullptr;
    }

    std::vector<at::Tensor> tensors_to_compare() const override {
        if (!exchanged_ || !first_exchange_) return {};
        // Edges back to the other ranks' nodes, which have none otherwise.
        const auto n_own = static_cast<std::int64_t>(nodes_.size());
        const std::size_t n = receiver_.size();
        const std::vector<std::int64_t>& edges = *edge_index_;
        std::vector<std::pair<std::int64_t, std::size_t>> back;
        for (std::size_t edge = 0; edge < n; ++edge) {
            if (edges[n + edge] >= n_own) back.emplace_back(edges[n + edge], edge);
        }
        std::sort(back.begin(), back.end());
        std::vector<std::int64_t> receivers, senders;
        std::vector<double> vectors;
        for (const auto& [receiver, edge] : back) {
            receivers.push_back(receiver);
            senders.push_back(edges[edge]);
            for (std::size_t axis = 0; axis < 3; ++axis) {
                vectors.push_back(-(*vectors_)[3 * edge + axis]);
            }
        }
        std::vector<at::Tensor> inputs = tensors();
        const at::Tensor added =
            at::stack({at::tensor(receivers, at::kLong), at::tensor(senders, at::kLong)});
        inputs[1] = at::cat({inputs[1], added}, 1);
        inputs[2] =
            at::cat({inputs[2], at::tensor(vectors, at::kDouble).view({-1, 3}).to(scalar_)});
        return inputs;
    }

    void prepare(const System& system) override {
        n_company_ = 0;
        fill_coordinates(system, coordinates_.renew());
        exchanged_ = can_exchange(system);
        if (!exchanged_) {
            folded_ = can_fold(system);
            find_nodes(system, near_, folded_ ? 1 : n_layers_);
        }
        write_nodes(system);
        write_edges();
    }

    const NearNeighbours& neighbours() const override { return near_; }

    const std::vector<double>& coordinates() const override { return *coordinates_; }

    std::vector<at::Tensor> tensors() const override {
        const std::int64_t n = n_particles();
        const auto n_edges = static_cast<std::int64_t>((*edge_index_).size() / 2);
        return {species_.view({n}), edge_index_.view({2, n_edges}),
                vectors_.view({n_edges, 3}).to(scalar_), contributing_.view({n})};
    }

    bool has_pairs() const override { return !receiver_.empty(); }

    Company company() const override { return Company::always; }

    void add_company(std::int64_t species_code) override {
        std::vector<double> corners;
        append_company(cutoff_, cutoff_, 0, corners);
        const auto first = n_particles();
        const auto n = static_cast<std::size_t>(first + company_size);
        species_.extend().resize(n, species_code);
        contributing_.extend().resize(n, 0);
        std::vector<std::int64_t> receivers, senders;
        std::vector<double>& vectors = vectors_.extend();
        for (std::int32_t i = 0; i < company_size; ++i) {
            for (std::int32_t j = 0; j < company_size; ++j) {
                if (j == i) continue;
                receivers.push_back(first + i);
                senders.push_back(first + j);
                for (int axis = 0; axis < 3; ++axis) {
                    vectors.push_back(corners[static_cast<std::size_t>(3 * j + axis)] -
                                      corners[static_cast<std::size_t>(3 * i + axis)]);
                }
            }
        }
        std::vector<std::int64_t>& edges = edge_index_.extend();
        const auto middle = edges.begin() + static_cast<std::ptrdiff_t>(edges.size() / 2);
        edges.insert(middle, receivers.begin(), receivers.end());
        edges.insert(edges.end(), senders.begin(), senders.end());
        n_company_ += company_size;
    }

    std::int64_t n_company() const override { return n_company_; }

    std::int64_t n_particles() const override {
        return static_cast<std::int64_t>((*species_).size());
    }

    std::optional<GraphFacts> graph() const override {
        const bool smallest = exchanged_ || folded_ || !has_ghosts_;
        return GraphFacts{exchanged_ ? "exchanged"
                          : smallest ? "folded"
                                     : "staged",
                          n_particles() - n_company_, static_cast<std::int64_t>(receiver_.size()),
                          smallest ? "" : why_not_folded()};
    }

    void to_system(const double* values, int width, double* result) const override {
        for (const std::int32_t particle : nodes_) {
            for (int k = 0; k < width; ++k) result[particle * width + k] = *values++;
        }
    }

    void forces_from(const at::Tensor& gradient, double* forces) const override {
        const auto* g = gradient.data_ptr<double>();
        for (std::size_t edge = 0; edge < receiver_.size(); ++edge, g += 3) {
            double* on_receiver = forces + 3 * receiver_[edge];
            double* on_sender = forces + 3 * sender_[edge];
            for (int axis = 0; axis < 3; ++axis) {
                on_receiver[axis] += g[axis];
                on_sender[axis] -= g[axis];
            }
        }
    }

    bool has_all_images() const override { return !folded_; }

    bool defines_virial() const override { return true; }

    void virial_from(const at::Tensor& gradient, double* virial) const override {
        const auto* g = gradient.data_ptr<double>();
        const double* r = (*vectors_).data();
        for (std::size_t edge = 0; edge < receiver_.size(); ++edge, g += 3, r += 3) {
            add_virial(r, g, virial);
        }
    }

    bool defines_particle_virial() const override { return true; }

    void particle_virials_from(const at::Tensor& gradient, double* virials) const override {
        const auto* g = gradient.data_ptr<double>();
        const double* r = (*vectors_).data();
        for (std::size_t edge = 0; edge < receiver_.size(); ++edge, g += 3, r += 3) {
            add_virial(r, g, virials + 6 * receiver_[edge]);
        }
    }

  private:
    /// xx, yy, zz, yz, xz, xy: the derivative by a symmetric strain. Over all edges of a model that
    /// does not look at directions r g is symmetric, but over those of one particle it is not.
    static void add_virial(const double* r, const double* g, double* virial) {
        virial[0] += r[0] * g[0];
        virial[1] += r[1] * g[1];
        virial[2] += r[2] * g[2];
        virial[3] += 0.5 * (r[1] * g[2] + r[2] * g[1]);
        virial[4] += 0.5 * (r[0] * g[2] + r[2] * g[0]);
        virial[5] += 0.5 * (r[0] * g[1] + r[1] * g[0]);
    }

    /// The nodes and their edges: contributing particles first, then, ring by ring, what they see.
    /// Within a ring nodes are in the simulator's order: what is near in space is near in memory.
    void find_nodes(const System& system, NearNeighbours& near, int n_rings) {
        near.clear();
        receiver_.clear();
        sender_.clear();
        vectors_.renew().clear();
        nodes_.clear();
        number_.assign(static_cast<std::size_t>(system.n), no_node);
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (system.contributing[i] != 0) add_node(static_cast<std::int32_t>(i));
        }
        std::size_t next = 0;
        for (int ring = 0; ring < n_rings; ++ring) {
            const std::size_t end = nodes_.size();
            found_.clear();
            for (; next < end; ++next) append_edges(nodes_[next], system, near);
            if (found_.empty()) break;
            std::sort(found_.begin(), found_.end());
            for (const std::int32_t j : found_) add_node(j);
        }
    }

    void add_node(std::int32_t particle) {
        number_[static_cast<std::size_t>(particle)] = static_cast<std::int32_t>(nodes_.size());
        nodes_.push_back(particle);
    }

    /// The edges of one receiver; notes senders that are no nodes yet.
    void append_edges(std::int32_t i, const System& system, NearNeighbours& near) {
        const auto first = static_cast<std::size_t>(near.n_pairs());
        near.append_row(i, system, *coordinates_, *vectors_);
        const auto last = static_cast<std::size_t>(near.n_pairs());
        const std::vector<std::int32_t>& indices = near.indices();
        for (std::size_t pair = first; pair < last; ++pair) {
            const std::int32_t j = indices[pair];
            receiver_.push_back(i);
            sender_.push_back(j);
            if (folded_) continue;
            std::int32_t& number = number_[static_cast<std::size_t>(j)];
            if (number != no_node) continue;
            number = found_now;
            found_.push_back(j);
        }
    }

    void write_nodes(const System& system) {
        std::vector<std::int64_t>& species = species_.renew();
        std::vector<std::int64_t>& contributing = contributing_.renew();
        species.resize(nodes_.size());
        contributing.resize(nodes_.size());
        for (std::size_t k = 0; k < nodes_.size(); ++k) {
            species[k] = system.species[nodes_[k]];
            contributing[k] = system.contributing[nodes_[k]] != 0 ? 1 : 0;
        }
        if (!exchanged_) return;
        const auto& others = rank_owners_->remote_species();
        species.insert(species.end(), others.begin(), others.end());
        contributing.resize(species.size(), 0);
    }

    void write_edges() {
        const std::size_t n = receiver_.size();
        std::vector<std::int64_t>& edges = edge_index_.renew();
        edges.resize(2 * n);
        for (std::size_t edge = 0; edge < n; ++edge) {
            edges[edge] = number_[static_cast<std::size_t>(receiver_[edge])];
            if (exchanged_) {
                edges[n + edge] = rank_owners_->node_of(sender_[edge]);
                continue;
            }
            auto sender = static_cast<std::size_t>(sender_[edge]);
            if (folded_) sender = static_cast<std::size_t>(owners_.owners()[sender]);
            edges[n + edge] = number_[sender];
        }
    }

    /// Tries to make the graph of this rank's particles and those of others that send to them.
    /// Collective, and all ranks get the same answer.
    bool can_exchange(const System& system) {
        if (!prepares_together() || !system.ranks_together || system.keep_images) return false;
        if (!asked_for_ranks_) {
            find_ranks();
            asked_for_ranks_ = true;
        }
        if (!rank_owners_) return false;
        folded_ = true;  // ghosts are no nodes
        find_nodes(system, near_, 1);
        if (rank_owners_->update(system, *coordinates_, {receiver_, sender_, *vectors_})) {
            first_exchange_ = !has_exchanged_;
            has_exchanged_ = true;
            return true;
        }
        if (ghosts_ == Ghosts::exchange) {
            fail("KIM_MODEL_GHOSTS is exchange, but ", rank_owners_->why(),
                 ". Set KIM_MODEL_GHOSTS=auto.");
        }
        return false;
    }

    void find_ranks() {
        constexpr double patience = 60.0;  // s; in a program that need not use all ranks together
        const bool sure = is_lammps_on_all_ranks();
        if (ghosts_ == Ghosts::automatic && !sure) return;
        if (is_partitioned()) {
            fail(
                "KIM_MODEL_GHOSTS is exchange, but LAMMPS runs with partitions: the driver cannot "
                "know which ranks compute together. Set KIM_MODEL_GHOSTS=auto, or run the "
                "simulations as separate jobs.");
        }
        std::string why;
        Ranks* ranks = Ranks::all(sure ? 0.0 : patience, why);
        if (ranks == nullptr) return;  // one rank folds what it can
        if (model_.returns_node_forces) {
            fail(
                "KIM_MODEL_GHOSTS is exchange, but the model returns forces on nodes, and those on "
                "other ranks' nodes would be lost. Make it return energies alone, or the gradient "
                "with respect to edge_vectors (--returns-edge-gradient); or set "
                "KIM_MODEL_GHOSTS=auto.");
        }
        if (!model_.exchanges) {
            fail(
                "KIM_MODEL_GHOSTS is exchange, but the model does not exchange features: call "
                "torch.ops.torchml.exchange(features) between its layers, or set "
                "KIM_MODEL_GHOSTS=auto.");
        }
        rank_owners_ = std::make_unique<RankOwners>(*ranks, cutoff_);
    }

    bool can_fold(const System& system) {
        has_ghosts_ = std::any_of(system.contributing, system.contributing + system.n,
                                  [](int flag) { return flag == 0; });
        if (!has_ghosts_) return false;  // both graphs are the same
        if (ghosts_ == Ghosts::stage || system.keep_images) return false;
        if (ghosts_ == Ghosts::automatic && model_.returns_node_forces) return false;
        // In a perfect crystal another rank's particles look like images of this one's. Energies
        // are then right, but this rank would take the whole force on a particle for its own, and
        // a rank that cannot fold would add its part again.
        if (several_ranks_) return false;
        // A choice may have been right for the species that particles had.
        if (ghosts_ != Ghosts::automatic && owners_.had_choice()) owners_.forget();
        const bool known =
            owners_.update(system, *coordinates_, cutoff_ * reach(),
                           /*look_for_choice=*/ghosts_ != Ghosts::automatic && n_layers_ > 1);
        owners_known_ = known;
        if (ghosts_ != Ghosts::automatic) {
            if (!known) {
                fail("KIM_MODEL_GHOSTS is ", ghosts_ == Ghosts::fold ? "fold" : "exchange",
                     ", but ", owners_.why(),
                     ". Run the simulation on one rank, or set KIM_MODEL_GHOSTS=auto.");
            }
            if (owners_.found_anew()) {
                certain_ = n_layers_ == 1 || !owners_.had_choice() || choice_is_alike(system);
            }
            if (!certain_) {
                fail(
                    "KIM_MODEL_GHOSTS asks for one graph, but several particles could be the "
                    "owners of images, since these are few or lie in a perfect crystal, and the "
                    "particles differ in what is around them. Displace the atoms a little, or set "
                    "KIM_MODEL_GHOSTS=auto.");
            }
            return true;
        }
        if (!known || n_layers_ == 1) return known;
        if (owners_.found_anew() || moved_since_proof() || !proven_) prove(system);
        return proven_;
    }

    std::string why_not_folded() const {
        if (ghosts_ == Ghosts::stage) {
            return "KIM_MODEL_GHOSTS is stage. Unset it to fold images where possible.";
        }
        if (model_.returns_node_forces) {
            return "Not folded, since the model returns forces on nodes, from which no virial "
                   "follows where images are folded. Make it return the gradient with respect to "
                   "edge_vectors, and pack it with --returns-edge-gradient.";
        }
        if (rank_owners_) {
            std::string text = "Not exchanged between ranks, since ";
            return text.append(rank_owners_->why()).append(".");
        }
        if (several_ranks_) {
            return "Not folded, since there are several MPI ranks, whose particles may look like "
                   "periodic images. If all of them compute one system together, let the model "
                   "exchange features and set KIM_MODEL_GHOSTS=exchange; if each rank simulates a "
                   "system by itself, set KIM_MODEL_GHOSTS=fold.";
        }
        if (owners_known_) {
            return "Not folded, since an image has other neighbours than the particle that it is "
                   "an image of. If all ghosts are periodic images, set KIM_MODEL_GHOSTS=fold.";
        }
        std::string text = "Not folded, since ";
        return text.append(owners_.why()).append(".");
    }

    /// How far, Å, rows reach beyond the cutoff when images are compared with their owners: the
    /// proof then holds until a particle has moved half as far.
    static constexpr double margin = 0.1;

    bool moved_since_proof() const {
        const double most = proof_margin_ * proof_margin_ / 4.0;
        for (std::size_t k = 0; k < coordinates_at_proof_.size(); k += 3) {
            const double* now = (*coordinates_).data() + k;
            const double* then = coordinates_at_proof_.data() + k;
            const double x = now[0] - then[0], y = now[1] - then[1], z = now[2] - then[2];
            if (x * x + y * y + z * z > most) return true;
        }
        return false;
    }

    void prove(const System& system) {
        folded_ = false;
        proof_margin_ = margin;
        proven_ = images_are_alike(system, cutoff_ + margin);
        if (!proven_) {  // a simulator's ghosts may reach no farther than they have to
            proof_margin_ = 0.0;
            proven_ = images_are_alike(system, cutoff_);
        }
        coordinates_at_proof_ = *coordinates_;
    }

    /// Whether every image that a staged graph computes has the neighbours of its owner: then its
    /// features are those of its owner in each layer.
    bool images_are_alike(const System& system, double cutoff) {
        NearNeighbours near(cutoff);
        find_nodes(system, near, n_layers_);
        const std::vector<std::int32_t>& owners = owners_.owners();
        const std::vector<std::size_t> starts = row_starts(near);
        for (std::size_t row = 0; row + 1 < starts.size(); ++row) {
            const auto owner = owners[static_cast<std::size_t>(nodes_[row])];
            if (owner == nodes_[row]) continue;
            const auto own = static_cast<std::size_t>(number_[static_cast<std::size_t>(owner)]);
            const std::size_t count = starts[row + 1] - starts[row];
            if (count != starts[own + 1] - starts[own]) return false;
            for (std::size_t k = starts[row]; k < starts[row + 1]; ++k) {
                if (!has_edge(starts[own], starts[own + 1], owners, k)) return false;
            }
        }
        return true;
    }

    /// See any_choice_is_alike().
    bool choice_is_alike(const System& system) {
        folded_ = false;
        NearNeighbours near(cutoff_);
        find_nodes(system, near, 1);
        return any_choice_is_alike(owners_, system, *coordinates_,
                                   {row_starts(near), sender_, (*vectors_).data()}, cutoff_);
    }

    static std::vector<std::size_t> row_starts(const NearNeighbours& near) {
        std::vector<std::size_t> starts = {0};
        for (const std::int32_t count : near.counts()) {
            starts.push_back(starts.back() + static_cast<std::size_t>(count));
        }
        return starts;
    }

    /// Whether one of the edges from `first` to `last` has the same sender and vector.
    bool has_edge(std::size_t first, std::size_t last, const std::vector<std::int32_t>& owners,
                  std::size_t edge) const {
        constexpr double tolerance = 1e-7;
        const double* vectors = (*vectors_).data();
        const auto sender = owners[static_cast<std::size_t>(sender_[edge])];
        for (std::size_t k = first; k < last; ++k) {
            if (owners[static_cast<std::size_t>(sender_[k])] == sender &&
                std::abs(vectors[3 * k] - vectors[3 * edge]) < tolerance &&
                std::abs(vectors[3 * k + 1] - vectors[3 * edge + 1]) < tolerance &&
                std::abs(vectors[3 * k + 2] - vectors[3 * edge + 2]) < tolerance) {
                return true;
            }
        }
        return false;
    }

    static constexpr std::int32_t no_node = -1, found_now = -2;

    double cutoff_;
    int n_layers_;
    EdgeModel model_;
    Ghosts ghosts_;
    bool several_ranks_;  // that may compute one system together
    bool exchanged_ = false;
    bool has_exchanged_ = false, first_exchange_ = false;
    bool asked_for_ranks_ = false;
    std::unique_ptr<RankOwners> rank_owners_;  // nullptr: this rank computes alone
    bool folded_ = false;
    bool has_ghosts_ = false;
    ImageOwners owners_;
    bool owners_known_ = false;
    bool certain_ = false;
    bool proven_ = false;
    double proof_margin_ = 0.0;
    std::vector<double> coordinates_at_proof_;
    at::ScalarType scalar_;
    Buffer<double> coordinates_;                   // (n, 3) of all particles
    NearNeighbours near_;                          // a row for each receiver
    std::vector<std::int32_t> nodes_;              // the particle that each node is
    std::vector<std::int32_t> number_;             // of each particle: its node
    std::vector<std::int32_t> found_;              // particles of the next ring
    std::vector<std::int32_t> receiver_, sender_;  // of each edge: particles
    Buffer<double> vectors_;           // (E, 3) in double precision, whatever the model's
    Buffer<std::int64_t> edge_index_;  // (2, E)
    Buffer<std::int64_t> species_;
    Buffer<std::int64_t> contributing_;
    std::int64_t n_company_ = 0;
};

}  // namespace

std::unique_ptr<Inputs> make_edge_inputs(double cutoff, int n_layers, EdgeModel model,
                                         Ghosts ghosts, at::ScalarType scalar) {
    return std::make_unique<EdgeInputs>(cutoff, n_layers, model, ghosts, scalar);
}

}  // namespace torchml
