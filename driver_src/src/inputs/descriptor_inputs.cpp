#include "inputs/descriptor_inputs.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "base/value_lines.hpp"
#include "descriptors/load.hpp"
#include "inputs/buffers.hpp"
#include "process/workers.hpp"

namespace torchml {

namespace {

// The number of central particles that a descriptor gets at a time: enough to share common work,
// few enough to stay in a core's cache.
constexpr std::int64_t block_size = 32;
// The number of blocks whose gradients are held at a time, before they are summed in the order of
// particles: enough for many threads, few enough that memory does not grow with the system.
constexpr std::int64_t blocks_in_hand = 256;

// Å: below this distance a neighbour has no direction, on which descriptors depend, and the driver
// reports an error; SNAP in LAMMPS silently leaves out such pairs.
constexpr double same_place = 1e-10;

template <class Value>
void grow(std::vector<Value>& buffer, std::size_t size) {
    if (buffer.size() < size) buffer.resize(size + size / 2);
}

/// A worker's memory for a block: the neighbours within their pairs' cutoffs.
struct Gathered {
    std::vector<int> species;  // (rows)
    std::vector<int> starts;   // (rows + 1)
    std::vector<int> neighbour_species;
    std::vector<double> x, y, z, r;
    std::unique_ptr<Descriptor::Scratch> scratch;

    void reserve(std::size_t rows, std::size_t pairs) {
        grow(species, rows);
        grow(starts, rows + 1);
        grow(neighbour_species, pairs);
        for (auto* values : {&x, &y, &z, &r}) grow(*values, pairs);
    }
};

/// Gradients of the blocks in hand, with the particles that they belong to. Each block has room for
/// the whole lists of its rows; neighbours within the pairs' cutoffs come first.
struct Gradients {
    std::vector<std::int32_t> counts;      // (rows)
    std::vector<std::int32_t> neighbours;  // (pairs)
    std::vector<double> gx, gy, gz;        // (pairs)

    void reserve(std::size_t rows, std::size_t pairs) {
        grow(counts, rows);
        grow(neighbours, pairs);
        for (auto* values : {&gx, &gy, &gz}) grow(*values, pairs);
    }
};

class DescriptorInputs final : public Inputs {
  public:
    DescriptorInputs(std::unique_ptr<const Descriptor> descriptor, double cutoff,
                     const std::vector<int>& codes, at::ScalarType scalar)
        : descriptor_(std::move(descriptor)),
          width_(descriptor_->width()),
          n_species_(static_cast<int>(codes.size())),
          scalar_(scalar) {
        index_of_code_.resize(
            static_cast<std::size_t>(*std::max_element(codes.begin(), codes.end())) + 1);
        for (int s = 0; s < n_species_; ++s) {
            index_of_code_[static_cast<std::size_t>(codes[static_cast<std::size_t>(s)])] = s;
        }
        for (int a = 0; a < n_species_; ++a) {
            for (int b = 0; b < n_species_; ++b) {
                cutoffs_.push_back(std::min(descriptor_->cutoff(a, b), cutoff));
            }
        }
        // Slightly more than the largest, since neighbours exactly at a cutoff count.
        near_ = NearNeighbours(*std::max_element(cutoffs_.begin(), cutoffs_.end()) * (1.0 + 1e-9));
    }

    std::vector<std::string> argument_names() const override { return {"descriptor"}; }

    std::size_t differentiable() const override { return 0; }

    bool needs_only_contributing_neighbours() const override { return true; }

    int reach() const override { return 1; }

    void prepare(const System& system) override {
        fill_coordinates(system, coordinates_);
        const auto n = static_cast<std::size_t>(system.n);
        species_.resize(n);
        for (std::size_t i = 0; i < n; ++i) {
            species_[i] = index_of_code_[static_cast<std::size_t>(system.species[i])];
        }
        near_.clear();
        centers_.clear();
        starts_.assign(1, 0);
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (system.contributing[i] == 0) continue;
            near_.append_row(i, system, coordinates_);
            centers_.push_back(static_cast<std::int32_t>(i));
            starts_.push_back(near_.n_pairs());
        }
    }

    void complete() override {
        std::vector<double>& values = values_.renew();
        values.resize(centers_.size() * static_cast<std::size_t>(width_));
        make_workers();
        workers_.run(n_blocks(), [&](int worker, std::int64_t block) {
            Gathered& own = gathered_[static_cast<std::size_t>(worker)];
            const Neighbourhoods neighbourhoods = gather(block, own, /*neighbours=*/nullptr);
            descriptor_->values(neighbourhoods, *own.scratch,
                                values.data() + block * block_size * width_);
        });
    }

    const NearNeighbours& neighbours() const override { return near_; }

    const std::vector<double>& coordinates() const override { return coordinates_; }

    std::vector<at::Tensor> tensors() const override {
        return {values_.view({n_rows(), width_}).to(scalar_)};
    }

    bool has_pairs() const override { return near_.n_pairs() != 0; }

    Company company() const override { return Company::never; }

    std::int64_t n_particles() const override { return n_rows(); }

    void to_system(const double* values, int width, double* result) const override {
        for (const std::int64_t i : centers_) {
            for (int k = 0; k < width; ++k) result[i * width + k] = *values++;
        }
    }

    void forces_from(const at::Tensor& gradient, double* forces) const override {
        std::fill_n(forces, coordinates_.size(), 0.0);
        for_each_row(gradient, [&](std::int64_t i, const Row& row) {
            double x = 0.0, y = 0.0, z = 0.0;
            for (int k = 0; k < row.n; ++k) {
                double* other = forces + 3 * static_cast<std::int64_t>(row.neighbours[k]);
                other[0] -= row.gx[k];
                other[1] -= row.gy[k];
                other[2] -= row.gz[k];
                x += row.gx[k];
                y += row.gy[k];
                z += row.gz[k];
            }
            forces[3 * i] += x;
            forces[3 * i + 1] += y;
            forces[3 * i + 2] += z;
        });
    }

    bool defines_particle_virial() const override { return true; }

    void particle_virials_from(const at::Tensor& gradient, double* virials) const override {
        const double* coordinates = coordinates_.data();
        for_each_row(gradient, [&](std::int64_t i, const Row& row) {
            double* virial = virials + 6 * i;
            for (int k = 0; k < row.n; ++k) {
                const std::int64_t j = row.neighbours[k];
                const double x = coordinates[3 * j] - coordinates[3 * i];
                const double y = coordinates[3 * j + 1] - coordinates[3 * i + 1];
                const double z = coordinates[3 * j + 2] - coordinates[3 * i + 2];
                virial[0] += x * row.gx[k];
                virial[1] += y * row.gy[k];
                virial[2] += z * row.gz[k];
                virial[3] += y * row.gz[k];
                virial[4] += x * row.gz[k];
                virial[5] += x * row.gy[k];
            }
        });
    }

  private:
    /// The derivatives of the energy with respect to the positions of one particle's neighbours,
    /// eV/Å.
    struct Row {
        int n;
        const std::int32_t* neighbours;
        const double *gx, *gy, *gz;
    };

    /// Calls visit(particle, row) for each contributing particle, in order, so that sums do not
    /// depend on the number of threads. `gradient`: (rows, width).
    template <class Visit>
    void for_each_row(const at::Tensor& gradient, const Visit& visit) const {
        const auto* weights = gradient.data_ptr<double>();
        make_workers();
        for (std::int64_t first = 0; first < n_blocks(); first += blocks_in_hand) {
            const std::int64_t last = std::min(first + blocks_in_hand, n_blocks());
            const std::int64_t first_row = first * block_size;
            const std::int64_t last_row = std::min(last * block_size, n_rows());
            gradients_.reserve(static_cast<std::size_t>(last_row - first_row),
                               static_cast<std::size_t>(start(last_row) - start(first_row)));
            workers_.run(last - first, [&](int worker, std::int64_t piece) {
                make_gradients(first + piece, first_row, weights,
                               gathered_[static_cast<std::size_t>(worker)]);
            });
            std::int64_t place = 0;
            for (std::int64_t row = first_row; row < last_row; ++row) {
                // A block's gradients are contiguous from the place of its first row's list.
                if ((row - first_row) % block_size == 0) place = start(row) - start(first_row);
                const int n = gradients_.counts[static_cast<std::size_t>(row - first_row)];
                visit(centers_[static_cast<std::size_t>(row)],
                      Row{n, gradients_.neighbours.data() + place, gradients_.gx.data() + place,
                          gradients_.gy.data() + place, gradients_.gz.data() + place});
                place += n;
            }
        }
    }

    std::int64_t start(std::int64_t row) const { return starts_[static_cast<std::size_t>(row)]; }

    std::int64_t n_rows() const { return static_cast<std::int64_t>(centers_.size()); }
    std::int64_t n_blocks() const { return (n_rows() + block_size - 1) / block_size; }

    void make_workers() const {
        const auto count = static_cast<std::size_t>(Workers::count());
        while (gathered_.size() < count) {
            Gathered made;
            made.scratch = descriptor_->make_scratch();
            gathered_.push_back(std::move(made));
        }
    }

    /// Gathers a block's neighbours within their pairs' cutoffs; writes their indices to
    /// `neighbours` unless it is null.
    Neighbourhoods gather(std::int64_t block, Gathered& own, std::int32_t* neighbours) const {
        const std::int64_t first = block * block_size;
        const std::int64_t last = std::min(first + block_size, n_rows());
        own.reserve(static_cast<std::size_t>(last - first),
                    static_cast<std::size_t>(start(last) - start(first)));
        const double* coordinates = coordinates_.data();
        const std::int32_t* listed = near_.indices().data();
        std::size_t kept = 0;
        double shortest = same_place;
        for (std::int64_t row = first; row < last; ++row) {
            const std::int64_t i = centers_[static_cast<std::size_t>(row)];
            const int species = species_[static_cast<std::size_t>(i)];
            const double* cutoffs = cutoffs_.data() + species * n_species_;
            own.species[static_cast<std::size_t>(row - first)] = species;
            own.starts[static_cast<std::size_t>(row - first)] = static_cast<int>(kept);
            for (std::int64_t k = start(row); k < start(row + 1); ++k) {
                const std::int64_t j = listed[k];
                const double x = coordinates[3 * j] - coordinates[3 * i];
                const double y = coordinates[3 * j + 1] - coordinates[3 * i + 1];
                const double z = coordinates[3 * j + 2] - coordinates[3 * i + 2];
                const double r = std::sqrt(x * x + y * y + z * z);
                const int neighbour_species = species_[static_cast<std::size_t>(j)];
                own.neighbour_species[kept] = neighbour_species;
                own.x[kept] = x;
                own.y[kept] = y;
                own.z[kept] = z;
                own.r[kept] = r;
                if (neighbours != nullptr) neighbours[kept] = static_cast<std::int32_t>(j);
                kept += r <= cutoffs[neighbour_species];
                shortest = std::min(shortest, r);
            }
        }
        if (shortest < same_place) refuse_same_place(first, last);
        own.starts[static_cast<std::size_t>(last - first)] = static_cast<int>(kept);
        return {static_cast<int>(last - first),
                own.species.data(),
                own.starts.data(),
                own.neighbour_species.data(),
                own.x.data(),
                own.y.data(),
                own.z.data(),
                own.r.data()};
    }

    /// Throws an Error that names a particle of these rows and the neighbour at the same place.
    [[noreturn]] void refuse_same_place(std::int64_t first, std::int64_t last) const {
        for (std::int64_t row = first; row < last; ++row) {
            const std::int64_t i = centers_[static_cast<std::size_t>(row)];
            for (std::int64_t k = start(row); k < start(row + 1); ++k) {
                const std::int64_t j = near_.indices()[static_cast<std::size_t>(k)];
                const double* a = coordinates_.data() + 3 * i;
                const double* b = coordinates_.data() + 3 * j;
                const double x = b[0] - a[0], y = b[1] - a[1], z = b[2] - a[2];
                if (std::sqrt(x * x + y * y + z * z) >= same_place) continue;
                fail("particles ", i, " and ", j, " are at the same place, (", a[0], ", ", a[1],
                     ", ", a[2],
                     ") Å, where no descriptor is defined. Remove the atom if the structure has it "
                     "twice, or correct the cell if it is too small for its images.");
            }
        }
        fail(
            "two particles are at the same place, where no descriptor is defined. Remove one of "
            "them.");
    }

    /// Computes the gradients of one block and stores them among those in hand.
    void make_gradients(std::int64_t block, std::int64_t first_row, const double* weights,
                        Gathered& own) const {
        const std::int64_t row = block * block_size;
        const std::int64_t place = start(row) - start(first_row);
        const Neighbourhoods neighbourhoods =
            gather(block, own, gradients_.neighbours.data() + place);
        for (int k = 0; k < neighbourhoods.n; ++k) {
            gradients_.counts[static_cast<std::size_t>(row - first_row + k)] =
                neighbourhoods.starts[k + 1] - neighbourhoods.starts[k];
        }
        descriptor_->vjp(neighbourhoods, weights + row * width_, *own.scratch,
                         gradients_.gx.data() + place, gradients_.gy.data() + place,
                         gradients_.gz.data() + place);
    }

    std::unique_ptr<const Descriptor> descriptor_;
    int width_;
    int n_species_;
    at::ScalarType scalar_;
    std::vector<int> index_of_code_;
    std::vector<double> cutoffs_;  // (species, species) Å

    NearNeighbours near_{0.0};
    std::vector<double> coordinates_;    // (n, 3) Å
    std::vector<int> species_;           // (n) indices of elements
    std::vector<std::int32_t> centers_;  // (rows) contributing particles
    std::vector<std::int64_t> starts_;   // (rows + 1) of each row's neighbours
    Buffer<double> values_;              // (rows, width)

    mutable Workers workers_;
    mutable std::vector<Gathered> gathered_;  // by worker
    mutable Gradients gradients_;
};

std::filesystem::path find_descriptor_file(const std::vector<std::filesystem::path>& files) {
    std::filesystem::path found;
    for (const auto& file : files) {
        if (file.extension() != ".dat") continue;
        if (!found.empty()) {
            fail("the model has two descriptor files, ", found.filename().string(), " and ",
                 file.filename().string(), ". Remove the one that is not this model's.");
        }
        found = file;
    }
    if (found.empty()) {
        fail(
            "the model needs a descriptor, but has no descriptor file (*.dat). Add the one that it "
            "was trained with.");
    }
    return found;
}

}  // namespace

std::unique_ptr<Inputs> make_descriptor_inputs(const InputsSource& source) {
    const Parameters& parameters = source.parameters;
    if (parameters.returns_forces) {
        fail(
            "the parameter file says that the model returns forces, but a descriptor model sees no "
            "coordinates and cannot compute them. Make it return energies only, and set 'returns "
            "forces' to False: the driver computes forces from the gradient.");
    }
    const std::filesystem::path file = find_descriptor_file(source.files);
    LoadedDescriptor loaded = load_descriptor(file, parameters.elements);
    const std::string name = file.filename().string();
    if (lower(parameters.descriptor) != lower(loaded.kind)) {
        fail("the parameter file names the descriptor '", parameters.descriptor, "', but ", name,
             " describes ", loaded.kind,
             ". Correct the parameter file's last value, or add the descriptor file that the model "
             "was trained with.");
    }
    const int n_species = static_cast<int>(parameters.elements.size());
    for (int a = 0; a < n_species; ++a) {
        for (int b = 0; b < n_species; ++b) {
            const double cutoff = loaded.descriptor->cutoff(a, b);
            // SOAP's cutoff is a separate setting: KLIFF lists neighbours up to the model's.
            if (loaded.kind != "SOAP" && cutoff > parameters.cutoff) {
                fail("descriptor file ", name, " has a cutoff of ", cutoff,
                     " Å, more than the model's cutoff in the parameter file, ", parameters.cutoff,
                     " Å. Raise the latter to the largest cutoff of the descriptor file.");
            }
        }
    }
    return make_descriptor_inputs(std::move(loaded.descriptor), parameters.cutoff,
                                  source.species_codes, source.scalar);
}

std::unique_ptr<Inputs> make_descriptor_inputs(std::unique_ptr<const Descriptor> descriptor,
                                               double cutoff, const std::vector<int>& species_codes,
                                               at::ScalarType scalar) {
    return std::make_unique<DescriptorInputs>(std::move(descriptor), cutoff, species_codes, scalar);
}

}  // namespace torchml
