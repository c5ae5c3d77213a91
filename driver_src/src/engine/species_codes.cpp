#include "engine/species_codes.hpp"

#include "base/error.hpp"
#include "base/variables.hpp"

namespace torchml {

namespace {

constexpr const char* elements_map = "KIM_MODEL_ELEMENTS_MAP";

[[noreturn]] void contradict(const std::string& file, bool recorded, const std::string& who,
                             const std::string& remedy) {
    fail("parameter file ", file, " has the setting 'atomic_numbers ", recorded ? "True" : "False",
         "': the model's species codes are ", recorded ? "atomic numbers" : "0, 1, ...", ". ", who,
         " says otherwise. ", remedy);
}

}  // namespace

std::string SpeciesCodes::doubt() const {
    switch (source) {
        case Source::package:
        case Source::trial:
            return "";
        case Source::caller:
            return std::string(" The species codes are ") +
                   (atomic_numbers ? "atomic numbers" : "0, 1, ...") +
                   ", as the caller asked with atomic_numbers: does the model expect the others?";
        case Source::environment:
            return std::string(" The species codes are ") +
                   (atomic_numbers ? "atomic numbers, since the environment variable "
                                   : "0, 1, ..., since the environment variable ") +
                   elements_map + (atomic_numbers ? " is set" : " says no") +
                   ": does the model expect the others? `torchml-install model pack` records "
                   "which.";
        case Source::nobody:
            break;
    }
    return std::string(
               " Does the model expect atomic numbers as species codes? Then pack it with "
               "`torchml-install model pack --atomic-numbers`, or set the environment variable ") +
           elements_map + ".";
}

SpeciesCodes choose_species_codes(const Parameters& parameters, const std::string& file,
                                  std::optional<bool> given, const Environment& environment,
                                  Warnings& warnings) {
    using Source = SpeciesCodes::Source;
    const auto recorded = parameters.atomic_numbers;
    if (given) {
        if (recorded && *recorded != *given) {
            contradict(file, *recorded,
                       std::string("The caller's atomic_numbers=") + (*given ? "True" : "False"),
                       "Leave it out: the package records what its model expects.");
        }
        return {*given, recorded ? Source::package : Source::caller};
    }
    const auto value = variable(environment, elements_map);
    const bool wanted = value && !means_off(*value);
    if (recorded) {
        if (value && *recorded != wanted) {
            contradict(file, *recorded,
                       std::string("The environment variable ") + elements_map + "=" + *value,
                       *recorded ? "Unset it: the package records what its model expects."
                                 : "Unset it; an older package that needs it can set "
                                   "'atomic_numbers True' on the last line of its own parameter "
                                   "file.");
        }
        return {*recorded, Source::package};
    }
    if (!value) return {};
    if (!wanted && parameters.convention != CallingConvention::descriptor) {
        warnings.add(std::string("the environment variable ") + elements_map + " is '" + *value +
                     "', which means no: species codes are 0, 1, ... The original driver takes any "
                     "value as yes; unset the variable to say no to both.");
    }
    return {wanted, Source::environment};
}

}  // namespace torchml
