// The values of a parameter file. test_file_readers.py tests invalid files, together with the
// installer's reader.

#include "base/parameters.hpp"

#include "support.hpp"

namespace {

using namespace torchml;
using namespace torchml::tests;

const std::string graph =
    "# elements\n2\nSi C\n# preprocessing\nGraph\n# cutoff\n4.5\n3\n# model\nm.pt\n"
    "# forces\ntrue\n# inputs\n6\n# descriptor\nNone\n";

Parameters parsed(const std::string& text) { return parse_parameters(text, "x.param"); }

}  // namespace

TEST_CASE("a parameter file's values are read in their order") {
    const Parameters parameters = parsed(graph);
    CHECK(parameters.elements == std::vector<std::string>{"Si", "C"});
    CHECK(parameters.convention == CallingConvention::graph);
    CHECK(parameters.cutoff == 4.5);
    CHECK(parameters.n_layers == 3);
    CHECK(parameters.influence_distance() == 13.5);
    CHECK(parameters.model_file == "m.pt");
    CHECK(parameters.returns_forces);
    CHECK(parameters.n_inputs == 6);
    CHECK(parameters.descriptor == "None");
    CHECK_FALSE(parameters.graph.edge_receiver_row);
    CHECK_FALSE(parameters.graph.drop_unused_particles);
    CHECK_FALSE(parameters.precision);
    CHECK_FALSE(parameters.atomic_numbers);
}

TEST_CASE("settings follow a parameter file's values") {
    const Parameters parameters = parsed(graph +
                                         "edge_receiver_row 1\ndrop_unused_particles True\n"
                                         "precision\tbfloat16\natomic_numbers false\n");
    CHECK(parameters.graph.edge_receiver_row == 1);
    CHECK(parameters.graph.drop_unused_particles);
    CHECK(parameters.precision == Precision::bfloat16);
    CHECK(parameters.atomic_numbers == false);
}

TEST_CASE("a model on edges may return its gradient in place of forces") {
    std::string text = graph;
    text.replace(text.find("Graph"), 5, "Edges");
    CHECK_FALSE(parsed(text).returns_edge_gradient);
    CHECK(parsed(text).returns_particle_forces());
    const Parameters parameters = parsed(text + "returns_edge_gradient True\n");
    CHECK(parameters.returns_edge_gradient);
    CHECK_FALSE(parameters.returns_particle_forces());
    CHECK_CONTAINS(refusal([&] { parsed(graph + "returns_edge_gradient True\n"); }), "Edges");
}

TEST_CASE("the message about a mistake in a parameter file names the line") {
    const std::string text = std::string(graph).replace(graph.find("Si C"), 4, "si C");
    const std::string message = refusal([&] { parsed(text); });
    CHECK_CONTAINS(message, "parameter file x.param, line 3: 'si' is not an element symbol");
    CHECK_CONTAINS(message, "'Si'");
}

TEST_CASE("another cutoff leaves the rest of a parameter file unchanged") {
    const std::string changed = with_cutoff(graph, "x.param", 0.1);
    CHECK(parsed(changed).cutoff == 0.1);
    std::string back = changed;
    const auto place = changed.find("0.1");
    REQUIRE(place != std::string::npos);
    back.replace(place, changed.find('\n', place) - place, "4.5");
    CHECK(back == graph);
}
