#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/parameters.hpp"
#include "base/system.hpp"
#include "inputs/graph_facts.hpp"

namespace torchml {

/// A Torch potential: a portable model's files, ready to compute. Knows neither KIM nor Python.
///
/// One evaluation takes two calls, so that the host can act between them: a Python process releases
/// its lock, since `prepare` may call back into Python and `evaluate` must not hold the lock. Use
/// an object from one thread at a time.
class Potential {
  public:
    /// Loads a portable model from its files, in any order: one `*.param` and the model file that
    /// it names. `atomic_numbers`: whether species codes are atomic numbers instead of 0, 1, 2,
    /// ...; without it, the parameter file or KIM_MODEL_ELEMENTS_MAP decides (see
    /// species_codes.hpp). `device`: takes the values of KIM_MODEL_EXECUTION_DEVICE, which decides
    /// without it. Throws Error if files are missing or invalid, or if the device cannot be used.
    explicit Potential(const std::vector<std::filesystem::path>& files,
                       std::optional<bool> atomic_numbers = std::nullopt,
                       const std::optional<std::string>& device = std::nullopt);
    ~Potential();
    Potential(Potential&&) noexcept;

    const Parameters& parameters() const;

    /// The species code of each element, in the order of parameters().elements.
    const std::vector<int>& species_codes() const;

    /// Gives the elements other codes, one each, to find out which codes a model was made for.
    /// Throws Error unless there is one code for each element, for negative codes, and for
    /// descriptor models, which take none.
    void set_species_codes(const std::vector<int>& codes);

    /// Whether species codes are atomic numbers.
    bool atomic_numbers() const;

    /// The bits of the model's floating-point type, or of the least precise one if it has several:
    /// 64, 32 or 16.
    int precision() const;

    /// The type of the model's inputs, such as "float64". If the parameter file does not record it
    /// and the weights leave it open, the first evaluation decides.
    std::string input_type() const;

    /// The types of the model's weights, each once; empty for a model without weights, or a frozen
    /// one.
    std::vector<std::string> weight_types() const;

    /// The type of the energies in the last evaluation; "" before the first.
    std::string energy_type() const;

    /// The device on which the model computes: "cpu", "cuda:0", ...
    std::string device() const;

    /// Whether particle virials can be requested.
    bool defines_particle_virial() const;

    /// The graph that the model got in the last evaluation; empty before the first, without
    /// contributing particles, and if the calling convention makes only one kind.
    std::optional<GraphFacts> graph() const;

    /// Changes the cutoff (Å). Throws Error unless it is positive, and for descriptor models, whose
    /// cutoffs are set in their descriptor file.
    void set_cutoff(double cutoff);

    /// The warnings for the user since the last call, a few sentences each; see Warnings.
    std::vector<std::string> take_warnings();

    /// How many cutoffs away from a contributing particle others have to be passed.
    int reach() const;

    /// Whether prepare() requests the neighbours of contributing particles only.
    bool needs_only_contributing_neighbours() const;

    /// Reads the simulator's arrays into the model's inputs. Throws Error.
    void prepare(const System& system);

    /// Runs the model on the prepared inputs and writes what `results` requests. Throws Error.
    void evaluate(const Results& results);

  private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace torchml
