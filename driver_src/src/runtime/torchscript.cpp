#include "runtime/torchscript.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <utility>

#include "engine/error.hpp"
#include "runtime/archive.hpp"
#include "runtime/messages.hpp"
#include "runtime/transfer.hpp"

namespace torchml {

namespace {

class TorchScript final : public Runtime {
  public:
    TorchScript(const std::filesystem::path& file, bool returns_forces, c10::Device device)
        : name_(file.filename().string()),
          returns_forces_(returns_forces),
          transfer_(device),
          module_(load(file, name_)) {
        require_precision();
        if (!device.is_cpu()) module_.to(device);
        module_.eval();
        // Gradients of weights are never asked for; recording for them would cost time and memory.
        for (at::Tensor parameter : module_.parameters()) parameter.requires_grad_(false);
    }

    at::ScalarType scalar_type() const override {
        // A model works in the type of its weights; one without any takes the simulator's.
        for (const at::Tensor& tensor : module_.parameters()) {
            if (tensor.is_floating_point()) return tensor.scalar_type();
        }
        for (const at::Tensor& tensor : module_.buffers()) {
            if (tensor.is_floating_point()) return tensor.scalar_type();
        }
        return transfer_.widest();
    }

    void check_arguments(const std::vector<std::string>& expected) const override {
        const auto method = module_.find_method("forward");
        if (!method) fail("model file ", name_, " has no method forward.");
        std::string found;
        std::size_t required = 0, accepted = 0;
        bool tensors = true, is_module = true;
        for (const auto& argument : method->function().getSchema().arguments()) {
            // The first one, whatever the author calls it.
            if (std::exchange(is_module, false)) continue;
            const bool wanted = accepted < expected.size();
            ++accepted;
            if (!argument.default_value()) ++required;
            tensors &= !wanted || argument.type()->kind() == c10::TypeKind::TensorType;
            found += (found.empty() ? "" : ", ") + argument.name() + ": " +
                     argument.type()->annotation_str();
        }
        if (required <= expected.size() && expected.size() <= accepted && tensors) return;
        std::string wanted;
        for (const auto& argument : expected) wanted += (wanted.empty() ? "" : ", ") + argument;
        fail("the model in ", name_, " has forward(", found, "), but is called as forward(", wanted,
             ") with tensors. Does the parameter file name the right preprocessing?");
    }

    Evaluation evaluate(std::vector<at::Tensor> inputs, const Request& request,
                        Profile& profile) override {
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

  private:
    /// Returned in place: torch's empty Module ends the process where memory is short.
    static torch::jit::Module load(const std::filesystem::path& file, const std::string& name) {
        try {
            return load_archive(file);
        } catch (const Error&) {
            throw;
        } catch (const std::exception& problem) {
            std::string reason = essence(problem);
            reason.erase(std::min(reason.find(". "), reason.size()));  // torch's advice to others
            fail("model file ", name, " cannot be loaded as TorchScript (", reason,
                 "). Was it written by torch.jit.script(model).save(...), and copied whole?");
        }
    }

    c10::IValue forward(const std::vector<at::Tensor>& inputs) {
        // Torch specialises a model for the shapes of its first calls, and compiles it anew when
        // they change, as numbers of particles and neighbours do: tens of milliseconds and more on
        // a CPU, where it is no quicker afterwards (benchmarks/steadiness.py), seconds on a GPU, a
        // dozen times for each group of operations that torch fuses. As it stands, every step
        // costs the same, the first one too, and gives the same numbers. Who wants fused
        // operations compiles the model beforehand, once and for all sizes (.pt2). The setting is
        // this thread's, and goes back at the end.
        const torch::jit::GraphOptimizerEnabledGuard setting(false);
        try {
            return module_.forward(std::vector<c10::IValue>(inputs.begin(), inputs.end()));
        } catch (const std::exception& problem) {
            fail<ModelError>("the model in ", name_, " failed: ", essence(problem));
        }
    }

    /// The derivative of `total` by `variable`; undefined if there is no dependence.
    at::Tensor gradient(const at::Tensor& total, const at::Tensor& variable) const {
        try {
            const auto gradients = torch::autograd::grad({total}, {variable}, /*grad_outputs=*/{},
                                                         /*retain_graph=*/false,
                                                         /*create_graph=*/false,
                                                         /*allow_unused=*/true);
            return gradients[0].defined() ? transfer_.to_host(gradients[0]) : at::Tensor();
        } catch (const std::exception& problem) {
            fail("the gradient of the model in ", name_, " failed: ", essence(problem));
        }
    }

    /// Apple's GPUs have no float64.
    void require_precision() const {
        if (scalar_type() != at::kDouble || transfer_.widest() == at::kDouble) return;
        fail("the model in ", name_, " works in float64, which the device mps does not have; save ",
             "it as float32 (model.float()), or compute on the cpu.");
    }

    void require_floating(const char* what, const at::Tensor& tensor) const {
        if (tensor.is_floating_point()) return;
        fail("the model in ", name_, " returned ", what, " of type ", tensor.scalar_type(),
             "; expected floating-point numbers.");
    }

    at::Tensor first_tensor(const c10::IValue& output) const {
        if (output.isTensor() && !returns_forces_) return output.toTensor();
        if (output.isTuple()) {
            const auto& elements = output.toTupleRef().elements();
            if (!elements.empty() && elements[0].isTensor()) return elements[0].toTensor();
        }
        fail("the model in ", name_, " returned ", output.type()->annotation_str(), "; expected ",
             returns_forces_ ? "(energies, forces), since its parameter file says that it returns "
                               "forces."
                             : "energies, or (energies, forces).");
    }

    at::Tensor second_tensor(const c10::IValue& output) const {
        const auto& elements = output.toTupleRef().elements();
        if (elements.size() < 2 || !elements[1].isTensor()) {
            fail("the model in ", name_,
                 " returned no forces, but its parameter file says that it ",
                 "does ('returns forces' is True).");
        }
        return elements[1].toTensor();
    }

    std::string name_;
    bool returns_forces_;
    Transfer transfer_;
    torch::jit::Module module_;
};

}  // namespace

std::unique_ptr<Runtime> load_torchscript(const std::filesystem::path& file, bool returns_forces,
                                          c10::Device device) {
    return std::make_unique<TorchScript>(file, returns_forces, device);
}

}  // namespace torchml
