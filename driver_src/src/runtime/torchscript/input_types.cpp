#include "runtime/torchscript/input_types.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>

#include "base/joined.hpp"
#include "runtime/type_names.hpp"

namespace torchml {

namespace {

using c10::ScalarType;

constexpr ScalarType by_precision[] = {ScalarType::Double, ScalarType::Float, ScalarType::BFloat16,
                                       ScalarType::Half};

bool has(const std::vector<ScalarType>& types, ScalarType type) {
    return std::find(types.begin(), types.end(), type) != types.end();
}

void add(std::vector<ScalarType>& types, const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.is_floating_point()) return;
    if (!has(types, tensor.scalar_type())) types.push_back(tensor.scalar_type());
}

/// Skips single numbers: they have whatever type Python gave them and adopt that of other operands,
/// so they say nothing about the model.
void add_constant(std::vector<ScalarType>& types, const at::Tensor& tensor) {
    if (tensor.defined() && tensor.dim() != 0) add(types, tensor);
}

void add_constants(std::vector<ScalarType>& types, const c10::IValue& value) {
    if (value.isTensor()) add_constant(types, value.toTensor());
    if (!value.isTensorList()) return;
    for (const at::Tensor& tensor : value.toTensorVector()) add_constant(types, tensor);
}

void add_constants(std::vector<ScalarType>& types, const torch::jit::Block& block) {
    namespace attr = c10::attr;
    for (const torch::jit::Node* node : block.nodes()) {
        for (const torch::jit::Block* inner : node->blocks()) add_constants(types, *inner);
        if (node->kind() != c10::prim::Constant || !node->hasAttribute(attr::value)) continue;
        const auto kind = node->kindOf(attr::value);
        if (kind == torch::jit::AttributeKind::t) add_constant(types, node->t(attr::value));
        if (kind == torch::jit::AttributeKind::ival) add_constants(types, node->ival(attr::value));
    }
}

std::string names_of(const std::vector<ScalarType>& types) {
    std::vector<std::string> names;
    for (const ScalarType type : types) names.push_back(type_name(type));
    return joined(names);
}

/// Calls visit(object) for a module's object and those of all its submodules. Does not use
/// Module::modules(): constructing a torch Module ends the process if memory runs out.
template <class Visit>
void visit_modules(const c10::ivalue::Object& object, const Visit& visit) {
    visit(object);
    for (const c10::IValue& value : object.slots()) {
        if (value.isModule()) visit_modules(value.toObjectRef(), visit);
    }
}

}  // namespace

TypesOfModule types_of(const torch::jit::Module& module) {
    TypesOfModule found;
    for (const at::Tensor& tensor : module.parameters()) add(found.weights, tensor);
    for (const at::Tensor& tensor : module.buffers()) add(found.weights, tensor);
    visit_modules(*module._ivalue(), [&](const c10::ivalue::Object& part) {
        for (const c10::IValue& value : part.slots()) add_constants(found.constants, value);
        for (torch::jit::Function* method : part.type()->methods()) {
            auto* function = torch::jit::tryToGraphFunction(*method);
            if (function != nullptr) add_constants(found.constants, *function->graph()->block());
        }
    });
    return found;
}

bool runs_code_when_loaded(const torch::jit::Module& module) {
    bool found = false;
    visit_modules(*module._ivalue(), [&](const c10::ivalue::Object& part) {
        found |= part.type()->findMethod("__setstate__") != nullptr;
    });
    return found;
}

ScalarType default_type_for(ScalarType inputs) {
    return inputs == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

std::vector<InputTypes> ways_to_evaluate(const TypesOfModule& found,
                                         std::optional<ScalarType> recorded, ScalarType widest) {
    std::vector<ScalarType> types;
    const auto append = [&](ScalarType type) {
        const bool known = type != ScalarType::Double || widest == ScalarType::Double;
        if (known && !has(types, type)) types.push_back(type);
    };
    if (recorded) {
        append(*recorded);
    } else {
        if (found.weights.size() == 1) append(found.weights.front());
        if (found.weights.empty()) append(widest);
        const bool any = found.weights.empty() && found.constants.empty();
        for (const ScalarType type : by_precision) {
            if (any || has(found.weights, type) || has(found.constants, type)) append(type);
        }
    }
    std::vector<InputTypes> ways;
    for (const ScalarType type : types) {
        ways.push_back({type, default_type_for(type)});
        if (type == ScalarType::Double) ways.push_back({type, ScalarType::Float});
    }
    // Single precision inside a model that was written under float64.
    if (found.weights.size() > 1 && has(types, ScalarType::Float)) {
        ways.push_back({ScalarType::Float, widest});
    }
    return ways;
}

std::string doubt_about(const TypesOfModule& found, ScalarType chosen, const std::string& file) {
    const bool frozen = found.weights.empty();
    const auto& types = frozen ? found.constants : found.weights;
    const bool plain =
        types.empty() ? chosen == ScalarType::Double : types == std::vector<ScalarType>{chosen};
    if (plain && !(frozen && chosen != ScalarType::Double)) return "";
    std::string why = "has weights of the types " + names_of(types);
    if (types.empty()) why = "has no weights";
    if (frozen && !types.empty()) why = "has constants of type " + names_of(types) + " as weights";
    if (!frozen && types.size() == 1) why = "has weights of type " + names_of(types);
    return "the model in " + file + " " + why +
           ", and its parameter file does not record the type of its inputs. The driver uses " +
           type_name(chosen) +
           ", the first type that the model accepted. To be sure, pack it again with "
           "`torchml-install model pack`, or add the line 'precision " +
           type_name(chosen) + "' at the end of its parameter file.";
}

}  // namespace torchml
