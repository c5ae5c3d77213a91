#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/parameters.hpp"
#include "base/system.hpp"

namespace torchml {

/// A Torch potential: a portable model's files, ready to compute. Knows neither KIM nor Python.
///
/// One evaluation is two calls, so that a host can do between them what it has to (a Python process
/// gives up its lock: `prepare` may call back into it, `evaluate` must not hold it). An object is
/// used by one thread at a time.
class Potential {
  public:
    /// Loads a portable model from its files, in any order: one `*.param` and the model file that
    /// it names. `atomic_numbers`: whether species codes are atomic numbers instead of 0, 1, 2,
    /// ...; if it is not given, the package decides, or KIM_MODEL_ELEMENTS_MAP (see
    /// species_codes.hpp). `device`: as KIM_MODEL_EXECUTION_DEVICE, which decides if it is not
    /// given. Throws Error.
    explicit Potential(const std::vector<std::filesystem::path>& files,
                       std::optional<bool> atomic_numbers = std::nullopt,
                       const std::optional<std::string>& device = std::nullopt);
    ~Potential();
    Potential(Potential&&) noexcept;

    const Parameters& parameters() const;

    /// The species code of each element, in the order of parameters().elements.
    const std::vector<int>& species_codes() const;

    /// Gives the elements other codes, one each, to find out which ones a model was made for.
    /// Throws Error for a number of codes that is not that of the elements, for negative ones, and
    /// for descriptor models, which see none.
    void set_species_codes(const std::vector<int>& codes);

    /// Whether species codes are atomic numbers.
    bool atomic_numbers() const;

    /// The bits of the model's floating-point type, the least precise one if it has several: 64, 32
    /// or 16.
    int precision() const;

    /// The type of the inputs that the model is given: "float64". Where the parameter file does not
    /// say it and the weights leave doubt, the first evaluation decides.
    std::string input_type() const;

    /// The types of the model's weights, each once; none for a model without, or a frozen one.
    std::vector<std::string> weight_types() const;

    /// The type in which the model returned its energies last; "" before.
    std::string energy_type() const;

    /// Where the model computes: "cpu", "cuda:0", ...
    std::string device() const;

    /// Whether virials of single particles can be asked for.
    bool defines_particle_virial() const;

    /// Lets pairs interact up to another distance, Å. Throws Error if it is not a positive length,
    /// and for descriptor models, whose cutoffs are set in their descriptor file.
    void set_cutoff(double cutoff);

    /// The warnings for the user since the last call, a sentence or two each; see Warnings.
    std::vector<std::string> take_warnings();

    /// Whether only contributing particles' neighbours will be asked for.
    bool needs_only_contributing_neighbours() const;

    /// Reads the simulator's arrays into the model's inputs. Throws Error.
    void prepare(const System& system);

    /// Runs the model on what was prepared and writes what `results` asks for. Throws Error.
    void evaluate(const Results& results);

  private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace torchml
