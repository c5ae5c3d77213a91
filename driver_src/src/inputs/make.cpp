#include "inputs/make.hpp"

#include "base/error.hpp"
#include "inputs/descriptor_inputs.hpp"
#include "inputs/edge_inputs.hpp"
#include "inputs/graph_inputs.hpp"
#include "inputs/neighbour_inputs.hpp"

namespace torchml {

std::unique_ptr<Inputs> make_inputs(const InputsSource& source) {
    const Parameters& parameters = source.parameters;
    const at::ScalarType scalar = source.scalar;
    switch (parameters.convention) {
        case CallingConvention::neighbours:
            return make_neighbour_inputs(parameters.cutoff, scalar, source.rounded);
        case CallingConvention::descriptor:
            return make_descriptor_inputs(source);
        case CallingConvention::graph:
#ifdef TORCHML_NO_GRAPH
            fail(
                "the model needs staged graphs (preprocessing 'Graph'), but this driver was built ",
                "without them (--no-graph or KIM_MODEL_DISABLE_GRAPH). Build it again without ",
                "that option or variable.");
#else
            return make_graph_inputs(parameters.cutoff, parameters.n_layers, parameters.graph,
                                     scalar, source.rounded);
#endif
        case CallingConvention::edges:
            return make_edge_inputs(parameters.cutoff, parameters.n_layers,
                                    {parameters.returns_particle_forces(), source.exchanges},
                                    source.ghosts, scalar);
    }
    fail("unknown calling convention.");
}

}  // namespace torchml
