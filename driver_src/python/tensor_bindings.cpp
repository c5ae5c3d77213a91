// Tensors pass through Python as DLPack capsules, which every torch makes and takes: this module is
// not linked with torch's own Python module.

#include "tensor_bindings.hpp"

#include <ATen/DLConvertor.h>
#include <ATen/core/grad_mode.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/system.hpp"
#include "inputs/inputs.hpp"
#include "inputs/make.hpp"
#include "runtime/compiled/aotinductor.hpp"
#include "runtime/compiled/package.hpp"
#include "runtime/compiled/plan.hpp"
#include "runtime/type_names.hpp"

namespace py = pybind11;

namespace torchml {

namespace {

template <class Value>
using Array = py::array_t<Value, py::array::c_style | py::array::forcecast>;

using Capsules = std::vector<py::object>;

constexpr const char* dlpack = "dltensor";
constexpr const char* dlpack_taken = "used_dltensor";

at::Tensor tensor_of(const py::object& capsule) {
    auto* shared = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), dlpack));
    if (shared == nullptr) throw py::error_already_set();
    at::Tensor tensor = at::fromDLPack(shared);
    PyCapsule_SetName(capsule.ptr(), dlpack_taken);
    return tensor;
}

std::vector<at::Tensor> tensors_of(const Capsules& capsules) {
    std::vector<at::Tensor> tensors;
    std::transform(capsules.begin(), capsules.end(), std::back_inserter(tensors), tensor_of);
    return tensors;
}

py::object capsule_of(const at::Tensor& tensor) {
    PyObject* capsule = PyCapsule_New(at::toDLPack(tensor), dlpack, [](PyObject* unwanted) {
        if (PyCapsule_IsValid(unwanted, dlpack) == 0) return;  // already consumed
        auto* shared = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(unwanted, dlpack));
        shared->deleter(shared);
    });
    if (capsule == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(capsule);
}

Capsules capsules_of(const std::vector<at::Tensor>& tensors) {
    Capsules capsules;
    std::transform(tensors.begin(), tensors.end(), std::back_inserter(capsules), capsule_of);
    return capsules;
}

Parameters parameters_of(const std::string& pattern, double cutoff, int n_layers) {
    static const std::map<std::string, CallingConvention> known = {
        {"neighbours", CallingConvention::neighbours},
        {"graph", CallingConvention::graph},
        {"edges", CallingConvention::edges}};
    const auto found = known.find(pattern);
    if (found == known.end()) {
        fail("pattern must be 'neighbours', 'graph' or 'edges', not '", pattern, "'.");
    }
    if (n_layers < 1) fail("layers must be at least 1, not ", n_layers, ".");
    Parameters parameters;
    parameters.convention = found->second;
    parameters.cutoff = cutoff;
    parameters.n_layers = n_layers;
    return parameters;
}

std::unique_ptr<Inputs> inputs_of(const Parameters& parameters, const std::string& type) {
    const auto scalar = scalar_type_called(type);
    if (!scalar || !c10::isFloatingType(*scalar)) {
        fail("the type of inputs must be a floating-point type, not ", type, ".");
    }
    const std::vector<int> codes;  // only descriptors need codes and files
    const std::vector<std::filesystem::path> files;
    return make_inputs({parameters, codes, files, *scalar, /*rounded=*/*scalar != at::kDouble});
}

Capsules model_inputs(const std::string& pattern, double cutoff, int n_layers,
                      const std::string& type, const Array<int>& species,
                      const Array<double>& coordinates, const Array<int>& contributing,
                      const Array<int>& n_neighbours, const Array<int>& neighbours) {
    const auto n = species.size();
    NeighbourLists lists;
    lists.starts = {0};
    const int* counts = n_neighbours.data();
    for (py::ssize_t i = 0; i < n_neighbours.size(); ++i) {
        if (counts[i] < 0) fail("n_neigh has a negative count for particle ", i, ".");
        lists.starts.push_back(lists.starts.back() + counts[i]);
    }
    lists.indices.assign(neighbours.data(), neighbours.data() + neighbours.size());
    if (coordinates.size() != 3 * n || contributing.size() != n || n_neighbours.size() != n ||
        neighbours.size() != lists.starts.back()) {
        fail("the lengths of coordinates, contributing and n_neigh must be that of species, ", n,
             ", and the length of nlist must be the sum of n_neigh, ", lists.starts.back(), ".");
    }
    const auto inputs = inputs_of(parameters_of(pattern, cutoff, n_layers), type);
    System system;
    system.n = n;
    system.species = species.data();
    system.coordinates = coordinates.data();
    system.contributing = contributing.data();
    system.neighbours = &lists;
    inputs->prepare(system);
    inputs->complete();
    return capsules_of(inputs->tensors());
}

std::tuple<std::vector<std::string>, std::size_t> calling_convention(const std::string& pattern,
                                                                     int n_layers) {
    const auto inputs = inputs_of(parameters_of(pattern, 1.0, n_layers), "float64");
    return {inputs->argument_names(), inputs->differentiable()};
}

/// The facts that an installer shows about a package, for tests that both read the same.
py::dict package_facts(const std::string& text) {
    const PackageDescription description = parse_description(text, "model.pt2");
    std::vector<std::tuple<std::string, std::string, std::vector<std::string>>> arguments;
    for (const PackageArgument& argument : description.arguments) {
        std::vector<std::string> sizes;
        for (const std::int64_t size : argument.sizes) {
            sizes.push_back(size < 0 ? "*" : std::to_string(size));
        }
        const bool is_long = argument.type == at::kLong;
        const bool is_integer = is_long || argument.type == at::kInt;
        arguments.emplace_back(
            argument.name, is_integer ? (is_long ? "int64" : "int32") : type_name(argument.type),
            sizes);
    }
    py::dict facts;
    facts["torch"] = description.torch;
    facts["device"] = description.device;
    facts["machine"] = description.machine;
    facts["capability"] = description.capability;
    facts["instructions"] = description.instructions;
    facts["arguments"] = arguments;
    facts["forces"] = description.returns_forces;
    facts["entries"] = description.entries;
    return facts;
}

std::int64_t block_limit(std::int64_t largest_block) {
    if (largest_block < 1) fail("largest_block must be at least 1, not ", largest_block, ".");
    return largest_block;
}

/// A compiled model as a Python function of the inputs and the number of outputs; it returns the
/// outputs.
py::cpp_function function_of(const std::filesystem::path& file, const std::string& name,
                             const std::string& device, std::int64_t largest_block) {
    RunEntry run;
    {
        const py::gil_scoped_release released;
        run = load_entry(file, name, c10::Device(device), largest_block);
    }
    return [run](const Capsules& inputs, std::size_t count) {
        const auto tensors = tensors_of(inputs);
        std::vector<at::Tensor> outputs;
        {
            const py::gil_scoped_release released;
            outputs = run(tensors, count);
        }
        return capsules_of(outputs);
    };
}

/// Runs the steps of an entry whose parts are Python functions: of a name and inputs, returning
/// outputs.
Capsules run_plan(const std::string& description, const std::string& entry, const Capsules& inputs,
                  const py::function& run, std::int64_t largest_block) {
    const std::string name = "the plan";
    const PackageDescription described = parse_description(description, name);
    const auto steps = described.steps.find(entry);
    if (steps == described.steps.end()) fail("the description has no steps for ", entry, ".");
    Plan plan(steps->second, described.arguments, name);
    plan.check(block_limit(largest_block));
    const auto arguments = tensors_of(inputs);
    std::vector<at::Tensor> outputs;
    {
        const py::gil_scoped_release released;
        const at::AutoGradMode no_recording(false);
        outputs = plan.evaluate(arguments, [&](std::size_t part, auto& values) {
            const py::gil_scoped_acquire acquired;
            const py::object made = run(plan.parts()[part], capsules_of(values));
            return tensors_of(made.cast<Capsules>());
        });
    }
    return capsules_of(outputs);
}

}  // namespace

void bind_tensors(py::module_& module) {
    module.def("calling_convention", &calling_convention, py::arg("pattern"), py::arg("layers"),
               "The names of forward's arguments, in order, and the index of the one that the "
               "energy is differentiated with respect to. pattern: neighbours or graph.");
    module.def("model_inputs", &model_inputs, py::arg("pattern"), py::arg("cutoff"),
               py::arg("layers"), py::arg("type"), py::arg("species"), py::arg("coordinates"),
               py::arg("contributing"), py::arg("n_neigh"), py::arg("nlist"),
               "A model's inputs for a system, as DLPack capsules; see torchml_driver.inputs.");
    module.def("run_plan", &run_plan, py::arg("description"), py::arg("entry"), py::arg("inputs"),
               py::arg("run"), py::arg("largest_block"),
               "Runs the steps of an entry whose parts are Python functions; returns the outputs.");
    module.def("package_facts", &package_facts, py::arg("description"),
               "The facts in a compiled model's description, by name.");
    module.def("load_entry", &function_of, py::arg("file"), py::arg("name"), py::arg("device"),
               py::arg("largest_block"),
               "One entry of a compiled model, as the driver runs it: a function of its inputs and "
               "the number of its outputs.");
}

}  // namespace torchml
