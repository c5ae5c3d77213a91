#include "inputs/inputs.hpp"

#include "engine/error.hpp"
#include "inputs/neighbours.hpp"

namespace torchml {

std::unique_ptr<Inputs> make_inputs(const Parameters& parameters, at::ScalarType scalar) {
    switch (parameters.preprocessing) {
        case Preprocessing::none:
            return make_neighbour_inputs(parameters.cutoff, scalar);
        case Preprocessing::descriptor:
            fail("the model wants descriptors (preprocessing 'Descriptor'), which this version of ",
                 "the driver cannot make yet; it runs models with preprocessing 'None'.");
        case Preprocessing::graph:
            fail("the model wants staged graphs (preprocessing 'Graph'), which this version of ",
                 "the driver cannot make yet; it runs models with preprocessing 'None'.");
    }
    fail("unknown preprocessing.");
}

}  // namespace torchml
