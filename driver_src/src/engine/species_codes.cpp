#include "engine/species_codes.hpp"

#include "base/error.hpp"
#include "base/variables.hpp"

namespace torchml {

namespace {

constexpr const char* elements_map = "KIM_MODEL_ELEMENTS_MAP";

[[noreturn]] void contradict(const std::string& file, bool recorded, const std::string& who,
                             const std::string& remedy) {
    fail("parameter file ", file, " has the setting 'atomic_numbers ", recorded ? "True" : "False",
         "' (the model's species codes are ", recorded ? "atomic numbers" : "0, 1, ...", "), but ",
         who, " contradicts it. ", remedy);
}

}  // namespace

std::string SpeciesCodes::doubt() const {
    switch (source) {
        case Source::package:
        case Source::trial:
            return "";
        case Source::caller:
            return atomic_numbers
                       ? " The caller's atomic_numbers=True makes species codes atomic numbers; if "
                         "the model expects 0, 1, ..., leave it out."
                       : " The caller's atomic_numbers=False makes species codes 0, 1, ...; if the "
                         "model expects atomic numbers, pass atomic_numbers=True.";
        case Source::environment:
            return std::string(" The environment variable ")
                .append(elements_map)
                .append(atomic_numbers
                            ? " makes species codes atomic numbers; if the model expects 0, 1, "
                              "..., unset it."
                            : " says no, so species codes are 0, 1, ...; if the model expects "
                              "atomic numbers, set it to 1.")
                .append(" Or pack the model with `torchml-install model pack`, which records it.");
        case Source::nobody:
            break;
    }
    return std::string(
               " If the model expects atomic numbers as species codes, pack it with "
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
                       std::string("the caller's atomic_numbers=") + (*given ? "True" : "False"),
                       "Leave it out: the model's parameter file records what it expects.");
        }
        return {*given, recorded ? Source::package : Source::caller};
    }
    const auto value = variable(environment, elements_map);
    const bool wanted = value && !means_off(*value);
    if (recorded) {
        if (value && *recorded != wanted) {
            contradict(
                file, *recorded,
                std::string("the environment variable ") + elements_map + "=" + *value,
                *recorded ? "Unset the variable: the parameter file records what the model expects."
                          : "Unset the variable; if an older model needs it, add the line "
                            "'atomic_numbers True' at the end of that model's parameter "
                            "file.");
        }
        return {*recorded, Source::package};
    }
    if (!value) return {};
    if (!wanted && parameters.convention != CallingConvention::descriptor) {
        warnings.add(
            std::string("the environment variable ") + elements_map + " is '" + *value +
            "', which means no here: species codes are 0, 1, ... The original driver reads "
            "any value as yes. To mean no in both, unset the variable.");
    }
    return {wanted, Source::environment};
}

}  // namespace torchml
