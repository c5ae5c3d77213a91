#include "runtime/torchscript/torchscript.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/joined.hpp"
#include "runtime/messages.hpp"
#include "runtime/torchscript/archive.hpp"
#include "runtime/torchscript/default_type.hpp"
#include "runtime/torchscript/input_types.hpp"
#include "runtime/transfer.hpp"
#include "runtime/type_names.hpp"

namespace torchml {

namespace {

class TorchScript final : public Runtime {
  public:
    TorchScript(const std::filesystem::path& file, bool returns_forces, c10::Device device,
                std::optional<at::ScalarType> recorded, Warnings& warnings)
        : name_(file.filename().string()),
          returns_forces_(returns_forces),
          recorded_(recorded),
          warnings_(warnings),
          transfer_(device),
          archive_(load(file, name_, recorded)),
          module_(archive_.module),
          types_(types_of(module_)),
          ways_(ways_to_evaluate(types_, recorded, transfer_.widest())) {
        require_precision();
        load_again_if_types_matter(file);
        if (!device.is_cpu()) module_.to(device);
        module_.eval();
        // Gradients of weights are never needed; recording for them would cost time and memory.
        for (at::Tensor parameter : module_.parameters()) parameter.requires_grad_(false);
    }

    at::ScalarType scalar_type() const override { return ways_.front().inputs; }

    at::ScalarType least_precise_type() const override {
        at::ScalarType least = scalar_type();
        for (const auto type : types_.weights.empty() ? types_.constants : types_.weights) {
            if (c10::elementSize(type) < c10::elementSize(least)) least = type;
        }
        return least;
    }

    std::vector<at::ScalarType> weight_types() const override { return types_.weights; }

    bool exchanges() const override { return archive_.exchanges; }

    void check_arguments(const std::vector<std::string>& expected) const override {
        const auto method = module_.find_method("forward");
        if (!method) {
            fail("model file ", name_, " has no method forward. Save a module that has one.");
        }
        std::string found;
        std::size_t required = 0, accepted = 0;
        bool tensors = true, is_module = true;
        for (const auto& argument : method->function().getSchema().arguments()) {
            // The first argument is the module, whatever its name.
            if (std::exchange(is_module, false)) continue;
            const bool wanted = accepted < expected.size();
            ++accepted;
            if (!argument.default_value()) ++required;
            tensors &= !wanted || argument.type()->kind() == c10::TypeKind::TensorType;
            found += (found.empty() ? "" : ", ") + argument.name() + ": " +
                     argument.type()->annotation_str();
        }
        if (required <= expected.size() && expected.size() <= accepted && tensors) return;
        fail("the model in ", name_, " has forward(", found, "), but is called as forward(",
             joined(expected),
             ") with tensors. Correct the preprocessing in the parameter file, or change forward.");
    }

    Evaluation evaluate(std::vector<at::Tensor> inputs, const Request& request,
                        Profile& profile) override {
        std::exception_ptr first_problem;
        for (std::size_t k = 0; k < ways_.size(); ++k) {
            const auto versions = versions_of(inputs);
            try {
                Evaluation evaluation = evaluate(ways_[k], inputs, request, profile);
                if (k != 0 || !proven_) settle(k);
                return evaluation;
            } catch (const Error& problem) {
                if (!first_problem) first_problem = std::current_exception();
                // Inputs that the model changed before it failed cannot be used again. And if
                // memory runs out, no other type would help.
                if (versions_of(inputs) != versions || is_of_memory(problem.what())) break;
            }
        }
        std::rethrow_exception(first_problem);
    }

  private:
    /// Torch counts the writes to each tensor.
    static std::vector<std::int64_t> versions_of(const std::vector<at::Tensor>& inputs) {
        std::vector<std::int64_t> versions;
        for (const at::Tensor& input : inputs) versions.push_back(input._version());
        return versions;
    }

    static bool is_of_memory(const char* problem) {
        return std::strstr(problem, "memory") != nullptr ||
               std::strstr(problem, "bad_alloc") != nullptr;
    }

    /// Call this when the model has worked in one of the ways for the first time: the driver keeps
    /// to that way. The others remain in case the model has not reached the code that matters, as
    /// without neighbours.
    void settle(std::size_t k) {
        if (proven_) {
            warnings_.add(
                "the model in " + name_ +
                " failed with the types used so far, but works with inputs of type " +
                type_name(ways_[k].inputs) + " and torch's default type " +
                type_name(ways_[k].default_type) +
                ". The driver uses these from now on; earlier results were rounded differently. To "
                "avoid this, pack the model again with `torchml-install model pack`.");
        }
        proven_ = true;
        std::rotate(ways_.begin(), ways_.begin() + static_cast<std::ptrdiff_t>(k),
                    ways_.begin() + static_cast<std::ptrdiff_t>(k) + 1);
        if (recorded_) return;
        const std::string doubt = doubt_about(types_, ways_.front().inputs, name_);
        if (!doubt.empty()) warnings_.add(doubt);
    }

    Evaluation evaluate(const InputTypes way, std::vector<at::Tensor> inputs,
                        const Request& request, Profile& profile) {
        const DefaultType default_type(way.default_type);
        for (at::Tensor& input : inputs) {
            if (input.is_floating_point()) input = input.detach().to(way.inputs);
        }
        // A model that returns forces makes them itself and may need autograd for that.
        const bool record = request.gradient || returns_forces_;
        at::AutoGradMode mode(record);
        const c10::OptionalDeviceGuard on_device(transfer_.device());
        {
            const Profile::Measure measure(profile, Stage::copies);
            inputs = transfer_.to_device(std::move(inputs));
        }
        at::Tensor& variable = inputs[request.differentiable];
        variable.requires_grad_(record);
        Evaluation evaluation;
        at::Tensor total;
        {
            const Profile::Measure measure(profile, Stage::forward);
            const c10::IValue output = forward(inputs);
            const at::Tensor energies = first_tensor(output);
            require_floating("energies", energies);
            total = energies.sum(transfer_.widest());
            evaluation.energies = transfer_.to_host(energies);
            evaluation.energy_type = energies.scalar_type();
            if (returns_forces_ && request.gradient) {
                const at::Tensor forces = second_tensor(output);
                require_floating("forces", forces);
                evaluation.forces = transfer_.to_host(forces);
            }
            if (profile.on()) transfer_.wait();
        }
        if (!returns_forces_ && request.gradient && total.requires_grad()) {
            const Profile::Measure measure(profile, Stage::backward);
            evaluation.gradient = gradient(total, variable);
            if (profile.on()) transfer_.wait();
        }
        const Profile::Measure measure(profile, Stage::copies);
        const at::Tensor energy = transfer_.to_host(total);
        transfer_.wait();
        evaluation.energy = energy.item<double>();
        return evaluation;
    }

    /// Returns the model in place: an empty torch Module ends the process if memory runs out.
    static LoadedArchive load(const std::filesystem::path& file, const std::string& name,
                              std::optional<at::ScalarType> inputs) {
        std::optional<DefaultType> default_type;
        if (inputs) default_type.emplace(default_type_for(*inputs));
        try {
            return load_archive(file);
        } catch (const Error&) {
            throw;
        } catch (const std::exception& problem) {
            std::string reason = essence(problem);
            reason.erase(std::min(reason.find(". "), reason.size()));  // advice for developers
            fail("model file ", name, " cannot be loaded as TorchScript (", reason,
                 "). Write it with torch.jit.script(model).save(...) (e3nn.util.jit.script for "
                 "e3nn models), and copy the whole file.");
        }
    }

    /// Loading a file may run code that makes tensors of the default type.
    void load_again_if_types_matter(const std::filesystem::path& file) {
        if (recorded_ || !runs_code_when_loaded(module_)) return;
        archive_ = load(file, name_, scalar_type());
    }

    c10::IValue forward(const std::vector<at::Tensor>& inputs) {
        // Torch specialises a model for the shapes of its first calls, and compiles it again when
        // they change, as numbers of particles and neighbours do. That takes tens of milliseconds
        // and more on a CPU, where the model is no faster afterwards (benchmarks/steadiness.py),
        // and seconds on a GPU, a dozen times for each group of operations that torch fuses.
        // Without it, every step, the first one included, costs the same and gives the same
        // numbers. To fuse operations, compile the model beforehand, once for all sizes (.pt2). The
        // setting belongs to this thread, and the guard restores it.
        const torch::jit::GraphOptimizerEnabledGuard setting(false);
        try {
            return module_.forward(std::vector<c10::IValue>(inputs.begin(), inputs.end()));
        } catch (const std::exception& problem) {
            require_own_device(problem);
            const std::string reason = essence(problem);
            fail<ModelError>("the model in ", name_, " failed: ", sentence(reason),
                             about_inputs(reason, inputs));
        }
    }

    /// Called when the model has failed. Throws an Error if its code names another device than the
    /// one on which it runs.
    void require_own_device(const std::exception& problem) const {
        const std::string own = transfer_.device().str();
        for (const std::string& device : archive_.devices) {
            if (device == own || (device == "cuda" && own == "cuda:0")) continue;
            const std::string type = device.substr(0, device.find(':'));
            fail<ErrorHere>(
                "the model in ", name_, " failed on the device ", own,
                ": its code names the device ", device, ". Set KIM_MODEL_EXECUTION_DEVICE=", type,
                ", or make tensors with device=coords.device and save the model again (torch "
                "said: ",
                essence(problem), ").");
        }
    }

    /// Advice about a model that complains about types.
    std::string about_inputs(const std::string& reason,
                             const std::vector<at::Tensor>& inputs) const {
        const bool of_types = reason.find("dtype") != std::string::npos ||
                              reason.find("scalar type") != std::string::npos;
        const auto number = std::find_if(inputs.begin(), inputs.end(), [](const at::Tensor& input) {
            return input.is_floating_point();
        });
        if (!of_types || number == inputs.end()) return "";
        const char* why = types_.weights.size() == 1 ? ", the type of its weights" : "";
        if (recorded_) why = ", as 'precision' in its parameter file says";
        return " It got inputs of type " + type_name(number->scalar_type()) + why +
               ". If it needs another type, pack it again with `torchml-install model pack "
               "--precision TYPE`.";
    }

    /// The gradient of `total` with respect to `variable`; undefined if it does not depend on it.
    at::Tensor gradient(const at::Tensor& total, const at::Tensor& variable) const {
        try {
            const auto gradients = torch::autograd::grad({total}, {variable}, /*grad_outputs=*/{},
                                                         /*retain_graph=*/false,
                                                         /*create_graph=*/false,
                                                         /*allow_unused=*/true);
            return gradients[0].defined() ? transfer_.to_host(gradients[0]) : at::Tensor();
        } catch (const std::exception& problem) {
            fail("the gradient of the model in ", name_, " failed: ", sentence(essence(problem)));
        }
    }

    /// Apple's GPUs have no float64.
    void require_precision() const {
        if (!ways_.empty()) return;
        fail("the model in ", name_, " needs float64, which the device mps does not have. Save it ",
             "as float32 (model.float()), or compute on the CPU.");
    }

    void require_floating(const char* what, const at::Tensor& tensor) const {
        if (tensor.is_floating_point()) return;
        fail("the model in ", name_, " returned ", what, " of type ", tensor.scalar_type(),
             "; expected floating-point numbers. Convert them in forward.");
    }

    at::Tensor first_tensor(const c10::IValue& output) const {
        if (output.isTensor() && !returns_forces_) return output.toTensor();
        if (output.isTuple()) {
            const auto& elements = output.toTupleRef().elements();
            if (!elements.empty() && elements[0].isTensor()) return elements[0].toTensor();
        }
        fail("the model in ", name_, " returned ", output.type()->annotation_str(), "; expected ",
             returns_forces_ ? "(energies, forces), since its parameter file says that it returns "
                               "forces. Correct one of the two."
                             : "energies, or (energies, forces). Change what forward returns.");
    }

    at::Tensor second_tensor(const c10::IValue& output) const {
        const auto& elements = output.toTupleRef().elements();
        if (elements.size() < 2 || !elements[1].isTensor()) {
            fail("the model in ", name_,
                 " returned no forces, but its parameter file says that it does. Set 'returns ",
                 "forces' to False, or make forward return (energies, forces).");
        }
        return elements[1].toTensor();
    }

    std::string name_;
    bool returns_forces_;
    std::optional<at::ScalarType> recorded_;
    Warnings& warnings_;
    Transfer transfer_;
    LoadedArchive archive_;
    torch::jit::Module& module_;
    TypesOfModule types_;
    std::vector<InputTypes> ways_;  // to evaluate the model, the one to try first in front
    bool proven_ = false;           // whether the first one has ever worked
};

}  // namespace

std::unique_ptr<Runtime> load_torchscript(const std::filesystem::path& file, bool returns_forces,
                                          c10::Device device,
                                          std::optional<at::ScalarType> recorded,
                                          Warnings& warnings) {
    return std::make_unique<TorchScript>(file, returns_forces, device, recorded, warnings);
}

}  // namespace torchml
