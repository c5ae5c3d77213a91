// The driver reads all its environment variables alike.

#include "base/variables.hpp"

#include <cstdlib>

#include "support.hpp"

namespace {

using namespace torchml;
using namespace torchml::tests;

bool switched(const char* value) {
    return switch_variable(made_of({{"KIM_MODEL_PROFILE", value}}), "KIM_MODEL_PROFILE");
}

std::size_t backend(const char* value) {
    return choose_variable(made_of({{"BACKEND", value}}), "BACKEND",
                           {{"native", "the default"}, {"libdescriptor", ""}, {"none", ""}});
}

}  // namespace

TEST_CASE("an empty variable counts as not set") {
    CHECK_FALSE(variable(made_of({}), "NAME"));
    for (const char* value : {"", " ", "\t\n"}) {
        CHECK_FALSE(variable(made_of({{"NAME", value}}), "NAME"));
        CHECK_FALSE(switched(value));
        CHECK(backend(value) == 0);
    }
    CHECK(variable(made_of({{"NAME", " x "}}), "NAME") == " x ");
}

TEST_CASE("a switch has words for on and off, in any case, with spaces around") {
    for (const char* value : {"1", "yes", "true", "on", "On", " TRUE "}) {
        CAPTURE(value);
        CHECK(switched(value));
    }
    for (const char* value : {"0", "no", "false", "off", "OFF", " No "}) {
        CAPTURE(value);
        CHECK_FALSE(switched(value));
    }
}

TEST_CASE("a choice is the place of its value, in any case, with spaces around") {
    CHECK(backend("native") == 0);
    CHECK(backend(" LibDescriptor ") == 1);
    CHECK(backend("NONE") == 2);
}

TEST_CASE("a message names an unknown value of a variable, and the valid ones") {
    CHECK(refusal<ErrorHere>([] { backend("perhaps"); }) ==
          "the environment variable BACKEND is 'perhaps'; it must be 'native' (the default), "
          "'libdescriptor' or 'none'.");
    const std::string message = refusal<ErrorHere>([] { switched("2"); });
    CHECK_CONTAINS(message, "KIM_MODEL_PROFILE is '2'; it must be ");
    for (const std::string word : {"0", "1", "no", "yes", "false", "true", "off", "on"}) {
        CHECK_CONTAINS(message, "'" + word + "'");
    }
}

TEST_CASE("the environment of this process is read at each call") {
    const Environment environment = process_environment();
    setenv("TORCHML_UNIT_TEST", "one", 1);
    CHECK(environment("TORCHML_UNIT_TEST") == "one");
    unsetenv("TORCHML_UNIT_TEST");
    CHECK_FALSE(environment("TORCHML_UNIT_TEST"));
}
