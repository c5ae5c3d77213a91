#pragma once

#include <c10/core/ScalarType.h>
#include <torch/csrc/jit/api/module.h>

#include <optional>
#include <string>
#include <vector>

namespace torchml {

/// The floating-point types in a module, each once, in the order of appearance.
struct TypesOfModule {
    std::vector<c10::ScalarType> weights;    ///< of parameters and buffers
    std::vector<c10::ScalarType> constants;  ///< of all attributes, and of tensors in the code,
                                             ///< into which torch.jit.freeze puts the weights
};

TypesOfModule types_of(const torch::jit::Module& module);

/// Whether the model's own code (__setstate__) runs while its file is loaded.
bool runs_code_when_loaded(const torch::jit::Module& module);

/// A way to evaluate a model.
struct InputTypes {
    c10::ScalarType inputs;        ///< the type of its floating-point inputs
    c10::ScalarType default_type;  ///< torch's, meanwhile
};

/// Torch's default type for a model with inputs of a type. Models with 16-bit weights are written
/// under float32, since 16 bits are never the default.
c10::ScalarType default_type_for(c10::ScalarType inputs);

/// The ways to evaluate a model that are worth trying, the most likely first; the first that works
/// is right. `recorded`: the type of its inputs, if known. `widest`: the device's widest type.
///
/// Without a record, a model whose weights have one type gets inputs of that type. A model whose
/// weights have several types, or that has no weights (or only constants), gets the most precise
/// inputs that it accepts. The default type is that of the inputs; but a model that fails under
/// float64 and works under float32 was written under float32 and converted afterwards.
std::vector<InputTypes> ways_to_evaluate(const TypesOfModule& found,
                                         std::optional<c10::ScalarType> recorded,
                                         c10::ScalarType widest);

/// A warning about a type that was chosen without a record; "" if there is no doubt.
std::string doubt_about(const TypesOfModule& found, c10::ScalarType chosen,
                        const std::string& file);

}  // namespace torchml
