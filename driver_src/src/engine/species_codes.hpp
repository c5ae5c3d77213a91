#pragma once

#include <optional>
#include <string>

#include "base/parameters.hpp"
#include "base/warnings.hpp"
#include "process/launcher.hpp"

namespace torchml {

/// The kind of species codes that a model gets, and what chose it.
struct SpeciesCodes {
    enum class Source { package, caller, environment, trial, nobody };

    bool atomic_numbers = false;  ///< instead of 0, 1, 2, ... in the order of the elements
    Source source = Source::nobody;

    /// Text to append to the message of a failure that the wrong kind of codes may have caused: a
    /// space and a sentence or two; empty if the portable model records the kind, or while other
    /// codes are tried.
    std::string doubt() const;
};

/// Chooses the kind of a model's species codes: what its parameter file records; else `given`; else
/// what KIM_MODEL_ELEMENTS_MAP says; else 0, 1, 2, ... The values 0, no, false and off (in any
/// case) mean no, with a warning, since the original driver reads any value as yes.
///
/// `file`: the parameter file's name, for messages. Throws Error if `given`, or without it the
/// variable, contradicts the record.
SpeciesCodes choose_species_codes(const Parameters& parameters, const std::string& file,
                                  std::optional<bool> given, const Environment& environment,
                                  Warnings& warnings);

}  // namespace torchml
