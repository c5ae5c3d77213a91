#pragma once

#include <optional>
#include <string>

#include "base/parameters.hpp"
#include "base/warnings.hpp"
#include "process/launcher.hpp"

namespace torchml {

/// The kind of species codes that a model is given, and who chose it.
struct SpeciesCodes {
    enum class Source { package, caller, environment, trial, nobody };

    bool atomic_numbers = false;  ///< instead of 0, 1, 2, ... in the order of the elements
    Source source = Source::nobody;

    /// Text to add to the message of a failure that codes of the wrong kind may have caused: a
    /// space and a sentence or two; nothing where the package records the kind, or other codes are
    /// being tried out.
    std::string doubt() const;
};

/// Decides on the kind of a model's species codes: as its package records it; else as `given`; else
/// by KIM_MODEL_ELEMENTS_MAP; else 0, 1, 2, ... A variable of the value 0, no, false or off (any
/// case) means no, with a warning, since the original driver takes any value for yes.
///
/// `file`: the parameter file's name, for messages. Throws Error if `given`, or without it the
/// variable, contradicts the record.
SpeciesCodes choose_species_codes(const Parameters& parameters, const std::string& file,
                                  std::optional<bool> given, const Environment& environment,
                                  Warnings& warnings);

}  // namespace torchml
