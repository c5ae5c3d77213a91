#include "inputs/inputs.hpp"

#include "engine/error.hpp"
#include "inputs/graphs.hpp"
#include "inputs/neighbours.hpp"

namespace torchml {

std::unique_ptr<Inputs> make_inputs(const Parameters& parameters, at::ScalarType scalar) {
    switch (parameters.preprocessing) {
        case Preprocessing::none:
            return make_neighbour_inputs(parameters.cutoff, scalar);
        case Preprocessing::descriptor:
            fail("the model wants descriptors (preprocessing 'Descriptor'), which this version of ",
                 "the driver cannot make yet; it runs models with preprocessing 'None' and "
                 "'Graph'.");
        case Preprocessing::graph:
#ifdef TORCHML_NO_GRAPH
            fail(
                "the model wants staged graphs (preprocessing 'Graph'), but this driver was built ",
                "without them (--no-graph or KIM_MODEL_DISABLE_GRAPH); build it again with them.");
#else
            return make_graph_inputs(parameters.cutoff, parameters.n_layers, parameters.graph,
                                     scalar);
#endif
    }
    fail("unknown preprocessing.");
}

}  // namespace torchml
