// The species codes of a model: its package decides, then the caller, then the environment.

#include "engine/species_codes.hpp"

#include "support.hpp"

namespace {

using namespace torchml;
using namespace torchml::tests;
using Source = SpeciesCodes::Source;

struct Asked {
    std::optional<bool> recorded, given;
    Variables variables;
    CallingConvention convention = CallingConvention::neighbours;
};

SpeciesCodes chosen(const Asked& asked, Warnings* told = nullptr) {
    Parameters parameters;
    parameters.convention = asked.convention;
    parameters.atomic_numbers = asked.recorded;
    Warnings own;
    return choose_species_codes(parameters, "x.param", asked.given, made_of(asked.variables),
                                told != nullptr ? *told : own);
}

Variables map_is(const char* value) { return {{"KIM_MODEL_ELEMENTS_MAP", value}}; }

}  // namespace

TEST_CASE("species codes are 0, 1, 2 by default") {
    const SpeciesCodes codes = chosen({});
    CHECK_FALSE(codes.atomic_numbers);
    CHECK(codes.source == Source::nobody);
    CHECK_CONTAINS(codes.doubt(), "--atomic-numbers");
}

TEST_CASE("a package that records its species codes has no doubts") {
    for (const bool recorded : {false, true}) {
        const SpeciesCodes codes = chosen({recorded, {}, {}});
        CHECK(codes.atomic_numbers == recorded);
        CHECK(codes.source == Source::package);
        CHECK(codes.doubt().empty());
        CHECK(chosen({recorded, recorded, {}}).source == Source::package);
    }
}

TEST_CASE("the caller's species codes win over the environment's") {
    const SpeciesCodes codes = chosen({{}, false, map_is("yes")});
    CHECK_FALSE(codes.atomic_numbers);
    CHECK(codes.source == Source::caller);
}

TEST_CASE("any value of KIM_MODEL_ELEMENTS_MAP means yes, except the words for no") {
    for (const char* value : {"1", "yes", "map", "anything"}) {
        CHECK(chosen({{}, {}, map_is(value)}).atomic_numbers);
    }
    for (const char* value : {"0", "no", "False", " OFF "}) {
        Warnings warnings;
        CHECK_FALSE(chosen({{}, {}, map_is(value)}, &warnings).atomic_numbers);
        const auto given = warnings.take();
        REQUIRE(given.size() == 1);
        CHECK_CONTAINS(given[0], "which means no");
    }
    CHECK(chosen({{}, {}, map_is(" ")}).source == Source::nobody);
}

TEST_CASE("a message names what contradicts a package's species codes") {
    CHECK_CONTAINS(refusal([] { chosen({true, false, {}}); }),
                   "atomic_numbers=False contradicts it");
    const std::string message = refusal([] { chosen({false, {}, map_is("yes")}); });
    CHECK_CONTAINS(message, "parameter file x.param has the setting 'atomic_numbers False'");
    CHECK_CONTAINS(message, "KIM_MODEL_ELEMENTS_MAP=yes contradicts it");
}
