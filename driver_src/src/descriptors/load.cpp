#include "descriptors/load.hpp"

#include <algorithm>

#include "descriptors/backend.hpp"

namespace torchml {

namespace {

/// Another descriptor's values minus their means, divided by their standard deviations.
class NormalisedDescriptor final : public Descriptor {
  public:
    NormalisedDescriptor(std::unique_ptr<const Descriptor> bare, const Normalisation& normalisation)
        : bare_(std::move(bare)),
          mean_(spread(normalisation.mean)),
          deviation_(spread(normalisation.deviation)) {}

    int width() const override { return bare_->width(); }

    double cutoff(int center_species, int neighbour_species) const override {
        return bare_->cutoff(center_species, neighbour_species);
    }

    std::unique_ptr<Descriptor::Scratch> make_scratch() const override {
        auto scratch = std::make_unique<Scratch>();
        scratch->bare = bare_->make_scratch();
        return scratch;
    }

    void values(const Neighbourhoods& block, Descriptor::Scratch& scratch,
                double* values) const override {
        bare_->values(block, *static_cast<Scratch&>(scratch).bare, values);
        for (int i = 0; i < block.n; ++i) {
            for (std::size_t k = 0; k < mean_.size(); ++k, ++values) {
                *values = (*values - mean_[k]) / deviation_[k];
            }
        }
    }

    void vjp(const Neighbourhoods& block, const double* weights, Descriptor::Scratch& scratch,
             double* gx, double* gy, double* gz) const override {
        auto& own = static_cast<Scratch&>(scratch);
        own.weights.resize(
            std::max(own.weights.size(), static_cast<std::size_t>(block.n) * mean_.size()));
        double* scaled = own.weights.data();
        for (int i = 0; i < block.n; ++i) {
            for (const double deviation : deviation_) *scaled++ = *weights++ / deviation;
        }
        bare_->vjp(block, own.weights.data(), *own.bare, gx, gy, gz);
    }

  private:
    struct Scratch final : Descriptor::Scratch {
        std::unique_ptr<Descriptor::Scratch> bare;
        std::vector<double> weights;
    };

    std::vector<double> spread(const std::vector<double>& values) const {
        return values.size() == 1
                   ? std::vector<double>(static_cast<std::size_t>(bare_->width()), values[0])
                   : values;
    }

    std::unique_ptr<const Descriptor> bare_;
    std::vector<double> mean_;
    std::vector<double> deviation_;
};

bool changes_nothing(const Normalisation& normalisation) {
    return std::all_of(normalisation.mean.begin(), normalisation.mean.end(),
                       [](double mean) { return mean == 0.0; }) &&
           std::all_of(normalisation.deviation.begin(), normalisation.deviation.end(),
                       [](double deviation) { return deviation == 1.0; });
}

}  // namespace

LoadedDescriptor load_descriptor(const std::filesystem::path& file,
                                 const std::vector<std::string>& elements) {
    const DescriptorFile contents = read_descriptor_file(file, elements);
    std::unique_ptr<const Descriptor> descriptor =
        make_descriptor(contents.settings, descriptor_backend());
    if (!changes_nothing(contents.normalisation)) {
        descriptor =
            std::make_unique<NormalisedDescriptor>(std::move(descriptor), contents.normalisation);
    }
    return {contents.kind, std::move(descriptor)};
}

}  // namespace torchml
