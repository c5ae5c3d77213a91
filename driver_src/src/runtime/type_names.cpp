#include "runtime/type_names.hpp"

namespace torchml {

std::string type_name(c10::ScalarType type) {
    switch (type) {
        case c10::ScalarType::Double:
            return "float64";
        case c10::ScalarType::Float:
            return "float32";
        case c10::ScalarType::Half:
            return "float16";
        case c10::ScalarType::BFloat16:
            return "bfloat16";
        default:
            return c10::toString(type);
    }
}

c10::ScalarType type_of(Precision precision) {
    switch (precision) {
        case Precision::float32:
            return c10::ScalarType::Float;
        case Precision::float16:
            return c10::ScalarType::Half;
        case Precision::bfloat16:
            return c10::ScalarType::BFloat16;
        case Precision::float64:
            break;
    }
    return c10::ScalarType::Double;
}

}  // namespace torchml
