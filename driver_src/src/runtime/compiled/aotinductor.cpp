#include "runtime/compiled/aotinductor.hpp"

#include "base/error.hpp"

#ifndef TORCHML_HAS_AOTINDUCTOR

namespace torchml {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& file) {
    fail<ErrorHere>(
        "model file ", file.filename().string(),
        " is an AOTInductor package, which needs torch 2.7 or newer; this driver was built for ",
        "torch " TORCHML_LIBTORCH_VERSION
        ". Build the driver for a newer torch (`torchml-install "
        "driver --torch-root ...`), or save the model as TorchScript "
        "(torch.jit.script(model).save('model.pt')).");
}

}  // namespace

std::unique_ptr<Runtime> load_aotinductor(const std::filesystem::path& file,
                                          bool /*returns_forces*/, c10::Device /*device*/) {
    refuse(file);
}

RunEntry load_entry(const std::filesystem::path& file, const std::string& /*name*/,
                    c10::Device /*device*/, std::int64_t /*largest_block*/) {
    refuse(file);
}

}  // namespace torchml

#else

#include <ATen/core/grad_mode.h>
#include <ATen/ops/sum.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/inductor/aoti_runner/model_container_runner.h>

#include <fstream>
#include <sstream>

#include "base/joined.hpp"
#include "runtime/compiled/code_files.hpp"
#include "runtime/compiled/compatibility.hpp"
#include "runtime/compiled/package.hpp"
#include "runtime/compiled/plan.hpp"
#include "runtime/extensions.hpp"
#include "runtime/libtorch.hpp"
#include "runtime/memory/tensor_memory.hpp"
#include "runtime/messages.hpp"
#include "runtime/transfer.hpp"

namespace torchml {

namespace {

using torch::inductor::AOTIModelContainerRunner;

std::string shape_text(at::IntArrayRef sizes) {
    std::string text;
    for (const auto size : sizes) {
        text += (text.empty() ? "" : ", ") + (size < 0 ? "*" : std::to_string(size));
    }
    return "[" + text + "]";
}

/// Whether a shared library may depend on another by its name: the name is in its string table.
bool names(const std::filesystem::path& library, const std::string& other) {
    std::ifstream stream(library, std::ios::binary);
    std::ostringstream contents;
    contents << stream.rdbuf();
    return contents.str().find(std::string(1, '\0') + other + '\0') != std::string::npos;
}

/// One compiled model of a package. Removes the files that it was loaded from as soon as possible,
/// so that a process that is killed leaves none behind.
class CompiledModel {
  public:
    /// `n_models`: the number of threads that may run it at the same time.
    CompiledModel(const std::filesystem::path& file, const PackageDescription& description,
                  const std::string& name, c10::Device device, int n_models = 1)
        : file_(file.filename().string()), folder_(std::make_unique<TemporaryFolder>()) {
        const auto library = unpack(read_entry(file, description, name), device);
        auto& runners = torch::inductor::getAOTIModelRunnerRegistry();
        const auto maker = runners.find(c10::DeviceTypeName(device.type(), /*lower_case=*/true));
        if (maker == runners.end()) {
            fail<ErrorHere>("this torch cannot run AOTInductor packages on the device ",
                            device.str(), ". Compile the model for the CPU, or use TorchScript.");
        }
        require_libtorch(library, description.torch);
        try {
            runner_ =
                maker->second(library.string(), static_cast<std::size_t>(n_models), device.str(),
                              folder_->path().string(), /*run_single_threaded=*/false);
        } catch (const std::exception& problem) {
            fail<ErrorHere>(
                "the compiled model in ", file_, " cannot be loaded from ",
                folder_->path().parent_path().string(), " (", essence(problem),
                "). If that folder is mounted 'noexec', set TMPDIR to another one; otherwise "
                "compile the model again, for this torch.");
        }
        // On a GPU, kernels may be read from files when they are first used.
        if (device.is_cpu()) folder_.reset();
    }

    /// `count`: the number of tensors that it must return.
    std::vector<at::Tensor> run(std::vector<at::Tensor>& inputs, std::size_t count) {
        std::vector<at::Tensor> outputs;
        try {
            outputs = runner_->run(inputs);
        } catch (const std::exception& problem) {
            fail<ModelError>("the model in ", file_, " failed: ", sentence(essence(problem)));
        }
        if (outputs.size() != count) {
            fail("the compiled model in ", file_, " returned ", outputs.size(),
                 " tensors; expected ", count, ". Compile it again.");
        }
        return outputs;
    }

  private:
    /// Returns the library.
    std::filesystem::path unpack(const std::vector<EntryFile>& files, c10::Device device) {
        std::filesystem::path library;
        for (const EntryFile& one : files) {
            const bool shared = one.is_library() && device.is_cpu();
            if (one.is_library()) library = folder_->path() / one.name;
            if (shared) library_ = std::make_unique<LibraryFile>(one, folder_->path());
            if (!shared) one.write(folder_->path());
        }
        return library;
    }

    /// Torch 2.7 links compiled models with libtorch.so, which nothing else loads into a process
    /// without Python.
    void require_libtorch(const std::filesystem::path& library, const std::string& torch) const {
        if (!names(library, "libtorch.so")) return;
        const std::string problem = open_libtorch();
        if (problem.empty()) return;
        fail<ErrorHere>(
            "the compiled model in ", file_, " needs libtorch.so of torch ", torch,
            ", which cannot be opened (", problem,
            "). Install that torch again, with the packages that it depends on; or pack the model "
            "as TorchScript.");
    }

    std::string file_;
    std::unique_ptr<TemporaryFolder> folder_;
    std::unique_ptr<LibraryFile> library_;  // destroyed after what closes it
    std::shared_ptr<AOTIModelContainerRunner> runner_;
};

/// An entry of a package's description: a compiled model, possibly with a variant for one thread,
/// or a plan over several models.
class Entry {
  public:
    /// `with_variant`: whether to load the variant for one thread, too, if there is one.
    Entry(const std::filesystem::path& file, const PackageDescription& description,
          const std::string& name, c10::Device device, bool with_variant = true) {
        const auto steps = description.steps.find(name);
        if (steps == description.steps.end()) {
            for (const std::string& variant : {name, name + ".one_thread"}) {
                if (variant != name && !(with_variant && description.has(variant))) continue;
                models_.push_back(
                    std::make_unique<CompiledModel>(file, description, variant, device));
            }
            return;
        }
        plan_ =
            std::make_unique<Plan>(steps->second, description.arguments, file.filename().string());
        for (const std::string& part : plan_->parts()) {
            models_.push_back(
                std::make_unique<CompiledModel>(file, description, part, device, Workers::count()));
        }
    }

    /// See Plan::check.
    void check(std::int64_t largest_block) {
        if (plan_ != nullptr) plan_->check(largest_block);
    }

    /// Whether ranks exchange features in it.
    bool exchanges() const { return plan_ != nullptr && plan_->exchanges(); }

    /// `count`: the number of tensors that it must return.
    std::vector<at::Tensor> run(std::vector<at::Tensor>& inputs, std::size_t count) {
        if (plan_ == nullptr) {
            return (Workers::count() == 1 ? models_.back() : models_.front())->run(inputs, count);
        }
        auto outputs = plan_->evaluate(inputs, [this](std::size_t part, auto& values) {
            return models_[part]->run(values, plan_->n_outputs(part));
        });
        if (outputs.size() != count) {
            fail("the compiled model's plan gives ", outputs.size(), " tensors; expected ", count,
                 ". Compile the model again.");
        }
        return outputs;
    }

  private:
    std::vector<std::unique_ptr<CompiledModel>> models_;
    std::unique_ptr<Plan> plan_;
};

/// Throws Error for inputs that the model was not compiled for, since compiled code accepts memory
/// of any shape. `name`: the package's, for messages.
void require_fitting(std::vector<at::Tensor>& inputs, const PackageDescription& description,
                     const std::string& name) {
    const auto& arguments = description.arguments;
    if (inputs.size() != arguments.size()) {
        fail("the model in ", name, " takes ", arguments.size(), " arguments, not ", inputs.size(),
             ". Compile it again.");
    }
    for (std::size_t k = 0; k < inputs.size(); ++k) {
        const PackageArgument& wanted = arguments[k];
        bool fits = inputs[k].scalar_type() == wanted.type &&
                    static_cast<std::size_t>(inputs[k].dim()) == wanted.sizes.size();
        for (std::size_t axis = 0; fits && axis < wanted.sizes.size(); ++axis) {
            fits = wanted.sizes[axis] < 0 ||
                   wanted.sizes[axis] == inputs[k].size(static_cast<std::int64_t>(axis));
        }
        if (!fits) {
            fail("the model in ", name, " was compiled for ", wanted.name, " of type ",
                 c10::toString(wanted.type), " and shape ", shape_text(wanted.sizes),
                 "; it was given ", c10::toString(inputs[k].scalar_type()), " ",
                 shape_text(inputs[k].sizes()), ". Compile it again.");
        }
        inputs[k] = inputs[k].contiguous();
    }
}

class AOTInductor final : public Runtime {
  public:
    AOTInductor(const std::filesystem::path& file, bool returns_forces, c10::Device device)
        : name_(file.filename().string()),
          description_(read_description(file)),
          returns_forces_(returns_forces),
          transfer_(device) {
        require_compatible(name_, description_, this_machine(device));
        require_outputs();
        open_listed_extensions();
        const c10::OptionalDeviceGuard on_device(device);
        whole_ = std::make_unique<Entry>(
            file, description_, returns_forces_ ? "energies_and_forces" : "energies_and_gradient",
            device);
        if (description_.has("energies")) {
            energies_only_ = std::make_unique<Entry>(file, description_, "energies", device);
        }
    }

    at::ScalarType scalar_type() const override {
        for (const PackageArgument& argument : description_.arguments) {
            if (c10::isFloatingType(argument.type)) return argument.type;
        }
        return at::kDouble;
    }

    bool exchanges() const override {
        return whole_->exchanges() && (energies_only_ == nullptr || energies_only_->exchanges());
    }

    void check_arguments(const std::vector<std::string>& expected) const override {
        std::vector<std::string> found;
        for (const PackageArgument& argument : description_.arguments) {
            found.push_back(argument.name);
        }
        if (found == expected) return;
        fail("the model in ", name_, " was compiled as forward(", joined(found),
             "), but is called as forward(", joined(expected),
             "). Correct the preprocessing and the number of layers in the parameter file, or "
             "compile the model again, with another --pattern or --layers.");
    }

    Evaluation evaluate(std::vector<at::Tensor> inputs, const Request& request,
                        Profile& profile) override {
        const at::AutoGradMode no_recording(false);
        const c10::OptionalDeviceGuard on_device(transfer_.device());
        const bool differentiate = request.gradient && !returns_forces_;
        check_inputs(inputs, differentiate ? request.differentiable : inputs.size());
        {
            const Profile::Measure measure(profile, Stage::copies);
            inputs = transfer_.to_device(std::move(inputs));
        }
        const bool whole = request.gradient || energies_only_ == nullptr;
        Evaluation evaluation;
        at::Tensor total;
        {
            if (differentiate) profile.gradient_in_forward();  // the same code computes both
            const Profile::Measure measure(profile, Stage::forward);
            const auto outputs = whole ? whole_->run(inputs, 2) : energies_only_->run(inputs, 1);
            total = outputs[0].sum(transfer_.widest());
            evaluation.energies = transfer_.to_host(outputs[0]);
            evaluation.energy_type = outputs[0].scalar_type();
            if (whole && returns_forces_) evaluation.forces = transfer_.to_host(outputs[1]);
            if (differentiate) {
                const auto sizes = inputs[request.differentiable].sizes();
                if (outputs[1].sizes() != sizes) {
                    fail("the compiled model in ", name_, " returned a gradient of shape ",
                         shape_text(outputs[1].sizes()), "; expected ", shape_text(sizes),
                         ". Compile it again.");
                }
                evaluation.gradient = transfer_.to_host(outputs[1]);
            }
            if (profile.on()) transfer_.wait();
        }
        const Profile::Measure measure(profile, Stage::copies);
        const at::Tensor energy = transfer_.to_host(total);
        transfer_.wait();
        evaluation.energy = energy.item<double>();
        return evaluation;
    }

  private:
    void require_outputs() const {
        if (returns_forces_ == description_.returns_forces) return;
        fail("the model in ", name_,
             returns_forces_
                 ? " was compiled without --returns-forces, but its parameter file says that it "
                   "returns forces."
                 : " was compiled with --returns-forces, so there is no gradient in it, but its "
                   "parameter file says that it returns no forces.",
             " Correct 'returns forces' in the parameter file, or compile the model again.");
    }

    /// Checks the inputs, since compiled code does not.
    /// `differentiable`: the argument that the gradient refers to; past the end if none is needed.
    void check_inputs(std::vector<at::Tensor>& inputs, std::size_t differentiable) const {
        require_fitting(inputs, description_, name_);
        const auto& arguments = description_.arguments;
        if (differentiable < arguments.size() &&
            arguments[differentiable].name != description_.gradient) {
            fail("the model in ", name_, " was compiled with the gradient with respect to ",
                 description_.gradient, ", but the gradient with respect to ",
                 arguments[differentiable].name,
                 " is needed. Compile it again with `torchml-install model compile`.");
        }
    }

    std::string name_;
    PackageDescription description_;
    bool returns_forces_;
    Transfer transfer_;
    std::unique_ptr<Entry> whole_;
    std::unique_ptr<Entry> energies_only_;
};

}  // namespace

std::unique_ptr<Runtime> load_aotinductor(const std::filesystem::path& file, bool returns_forces,
                                          c10::Device device) {
    return std::make_unique<AOTInductor>(file, returns_forces, device);
}

RunEntry load_entry(const std::filesystem::path& file, const std::string& name, c10::Device device,
                    std::int64_t largest_block) {
    const std::string package = file.filename().string();
    const PackageDescription description = read_description(file);
    require_compatible(package, description, this_machine(device));
    if (!description.has(name)) {
        fail("package ", package, " has no entry ", name, ". Compile the model again.");
    }
    open_listed_extensions();
    const c10::OptionalDeviceGuard on_device(device);
    const auto entry =
        std::make_shared<Entry>(file, description, name, device, /*with_variant=*/false);
    if (largest_block > 0) entry->check(largest_block);
    const auto memory = std::make_shared<TensorMemoryUser>();
    return [=](std::vector<at::Tensor> inputs, std::size_t count) {
        static_cast<void>(memory);
        const KeptTensorMemory kept_memory;
        const at::AutoGradMode no_recording(false);
        const c10::OptionalDeviceGuard here(device);
        require_fitting(inputs, description, package);
        return entry->run(inputs, count);
    };
}

}  // namespace torchml

#endif
