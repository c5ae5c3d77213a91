#pragma once

#include <c10/core/ScalarType.h>
#include <torch/csrc/jit/api/module.h>

#include <optional>
#include <string>
#include <vector>

namespace torchml {

/// The floating-point types in a module, each once, in the order in which they are found.
struct TypesOfModule {
    std::vector<c10::ScalarType> weights;    ///< of parameters and buffers
    std::vector<c10::ScalarType> constants;  ///< of all attributes, and of tensors in the code,
                                             ///< where torch.jit.freeze puts the weights
};

TypesOfModule types_of(const torch::jit::Module& module);

/// Whether code of the model's own (__setstate__) runs while its file is loaded.
bool runs_code_when_loaded(const torch::jit::Module& module);

/// A way to evaluate a model.
struct InputTypes {
    c10::ScalarType inputs;        ///< the type of its floating-point inputs
    c10::ScalarType default_type;  ///< torch's, meanwhile
};

/// torch's default type for a model with inputs of a type. Nobody makes 16 bits the default: models
/// of such weights are written under float32.
c10::ScalarType default_type_for(c10::ScalarType inputs);

/// The ways to evaluate a model that are worth a trial, the likeliest first; the first that works
/// is right. `recorded`: the type of its inputs, if that is known. `widest`: the device's.
///
/// Without a record a model with weights of one type works in that. One with weights of several
/// types, or with none (none it has, or they became constants), gets the most precise inputs that
/// it takes. The default type is that of the inputs; but what fails under float64 and works under
/// float32 was written under that, and converted to float64 afterwards.
std::vector<InputTypes> ways_to_evaluate(const TypesOfModule& found,
                                         std::optional<c10::ScalarType> recorded,
                                         c10::ScalarType widest);

/// A warning about the type that was chosen without a record; "" if there is no doubt.
std::string doubt_about(const TypesOfModule& found, c10::ScalarType chosen,
                        const std::string& file);

}  // namespace torchml
