// The compiled part of the Python module: arrays in, arrays out. Names, cells and neighbour lists
// are simpler in Python, in torchml_driver/*.py.

#include <c10/util/Exception.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/elements.hpp"
#include "base/error.hpp"
#include "engine/descriptor_calculator.hpp"
#include "engine/periodic.hpp"
#include "engine/potential.hpp"
#include "process/python_lock.hpp"
#include "runtime/libtorch.hpp"
#include "runtime/messages.hpp"
#include "tensor_bindings.hpp"

namespace py = pybind11;

namespace torchml {

namespace {

template <class Value>
using Array = py::array_t<Value, py::array::c_style | py::array::forcecast>;

/// The results of compute: the energy; forces, particle energies, virial and particle virials, or
/// None for each.
using Arrays = std::tuple<double, std::optional<Array<double>>, std::optional<Array<double>>,
                          std::optional<Array<double>>, std::optional<Array<double>>>;

/// The results that the caller requests besides the energy.
struct Wanted {
    bool forces = true;
    bool particle_energies = false;
    bool particle_virials = false;
};

/// A shape as Python prints it: "(2, 3)", "(2,)", "()".
std::string shape_text(const std::vector<py::ssize_t>& shape) {
    std::string text;
    for (const auto size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
    return "(" + text + (shape.size() == 1 ? ",)" : ")");
}

template <class Value>
void require_shape(const Array<Value>& array, const char* name,
                   const std::vector<py::ssize_t>& shape, const std::string& reason = "") {
    if (std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()) == shape) return;
    const std::vector<py::ssize_t> found(array.shape(), array.shape() + array.ndim());
    fail(name, " has the shape ", shape_text(found), "; expected ", shape_text(shape), reason, ".");
}

PeriodicPairs checked_pairs(const Array<int>& species, const Array<double>& coordinates,
                            const Array<double>& cell, const Array<std::int64_t>& pairs,
                            const Array<std::int32_t>& shifts) {
    const py::ssize_t n = species.size();
    require_shape(species, "species", {n});
    require_shape(coordinates, "coordinates", {n, 3});
    require_shape(cell, "cell", {3, 3});
    const py::ssize_t n_pairs = pairs.size() / 2;
    require_shape(pairs, "pairs", {n_pairs, 2});
    require_shape(shifts, "shifts", {n_pairs, 3});
    return {n_pairs, pairs.data(), shifts.data()};
}

UnfoldedSystem unfold_arrays(const Array<int>& species, const Array<double>& coordinates,
                             const Array<double>& cell, const Array<std::int64_t>& pairs,
                             const Array<std::int32_t>& shifts, int depth) {
    const PeriodicPairs given = checked_pairs(species, coordinates, cell, pairs, shifts);
    return unfold(species.size(), species.data(), coordinates.data(), cell.data(), given, depth);
}

/// Adds the values of each atom's images to the atom's own.
Array<double> fold(const UnfoldedSystem& system, const Array<double>& values, int width) {
    std::vector<py::ssize_t> shape = {system.n_atoms};
    if (width != 1) shape.push_back(width);
    Array<double> folded(shape);
    double* sums = folded.mutable_data();
    std::fill_n(sums, system.n_atoms * width, 0.0);
    const double* value = values.data();
    for (const std::int64_t owner : system.owner) {
        for (int k = 0; k < width; ++k) sums[owner * width + k] += *value++;
    }
    return folded;
}

/// Neighbour lists in the caller's array: particle i's are indices[starts[i] .. starts[i+1]).
class ArrayNeighbours final : public NeighbourSource {
  public:
    ArrayNeighbours(const std::vector<std::int64_t>& starts, const int* indices)
        : starts_(starts), indices_(indices) {}

    Neighbours of(std::int64_t particle) const override {
        const auto start = starts_[static_cast<std::size_t>(particle)];
        const auto end = starts_[static_cast<std::size_t>(particle) + 1];
        return {indices_ + start, static_cast<int>(end - start)};
    }

  private:
    const std::vector<std::int64_t>& starts_;
    const int* indices_;
};

/// Releases Python's lock, which this thread holds, during its lifetime.
struct LockReleased : PythonLockReleased {
    LockReleased()
        : PythonLockReleased(PyEval_SaveThread(), [](void* thread_state) {
              PyEval_RestoreThread(static_cast<PyThreadState*>(thread_state));
          }) {}
};

class PythonPotential {
  public:
    PythonPotential(const std::vector<std::filesystem::path>& files,
                    std::optional<bool> atomic_numbers, const std::optional<std::string>& device)
        : potential_(files, atomic_numbers, device) {}

    const Parameters& parameters() const { return potential_.parameters(); }
    std::string device() const { return potential_.device(); }
    bool defines_particle_virials() const { return potential_.defines_particle_virial(); }
    int precision() const {
        const std::lock_guard<std::mutex> alone(computing_);
        return potential_.precision();
    }
    std::string input_type() const {
        const std::lock_guard<std::mutex> alone(computing_);
        return potential_.input_type();
    }
    std::vector<std::string> weight_types() const { return potential_.weight_types(); }
    std::string energy_type() const {
        const std::lock_guard<std::mutex> alone(computing_);
        return potential_.energy_type();
    }
    /// Mode, nodes, edges and reason.
    std::optional<std::tuple<std::string, std::int64_t, std::int64_t, std::string>> graph() const {
        const std::lock_guard<std::mutex> alone(computing_);
        const auto facts = potential_.graph();
        if (!facts) return std::nullopt;
        return std::make_tuple(facts->mode, facts->n_nodes, facts->n_edges, facts->reason);
    }
    double ghost_reach() const { return parameters().cutoff * potential_.reach(); }
    const std::vector<int>& species_codes() const { return potential_.species_codes(); }
    void set_species_codes(const std::vector<int>& codes) {
        const std::lock_guard<std::mutex> alone(computing_);
        potential_.set_species_codes(codes);
    }
    bool atomic_numbers() const { return potential_.atomic_numbers(); }
    std::vector<std::string> take_warnings() {
        const std::lock_guard<std::mutex> alone(computing_);
        return potential_.take_warnings();
    }

    Arrays compute_particles(const Array<int>& species, const Array<double>& coordinates,
                             const Array<int>& contributing, const Array<int>& n_neighbours,
                             const Array<int>& neighbours, Wanted wanted) {
        const py::ssize_t n = species.size();
        const std::string species_length = ", since the length of codes is " + std::to_string(n);
        require_shape(species, "codes", {n});
        require_shape(coordinates, "coordinates", {n, 3}, species_length);
        require_shape(contributing, "contributing", {n}, species_length);
        require_shape(neighbours, "nlist", {neighbours.size()});
        const auto* contributes = contributing.data();
        const py::ssize_t n_contributing = n - std::count(contributes, contributes + n, 0);
        const bool for_all = n_neighbours.size() == n;
        if (!for_all && !potential_.needs_only_contributing_neighbours()) {
            fail("the length of n_neigh is ", n_neighbours.size(), "; expected ", n,
                 ", since this model needs the neighbours of all particles.");
        }
        if (!for_all && n_neighbours.size() != n_contributing) {
            fail("the length of n_neigh is ", n_neighbours.size(), "; expected ", n_contributing,
                 " (the contributing particles) or ", n, " (all particles).");
        }
        std::vector<std::int64_t> starts = {0};
        starts.reserve(static_cast<std::size_t>(n) + 1);
        const int* count = n_neighbours.data();
        for (py::ssize_t i = 0; i < n; ++i) {
            const int own = for_all || contributes[i] != 0 ? *count++ : 0;
            if (own < 0) fail("n_neigh has a negative count for particle ", i, ".");
            starts.push_back(starts.back() + own);
        }
        if (starts.back() != neighbours.size()) {
            fail("the length of nlist is ", neighbours.size(), ", but the sum of n_neigh is ",
                 starts.back(), "; expected both to be equal.");
        }
        const ArrayNeighbours lists(starts, neighbours.data());

        System system;
        system.n = n;
        system.species = species.data();
        system.coordinates = coordinates.data();
        system.contributing = contributing.data();
        system.neighbours = &lists;
        return run(system, wanted);
    }

    Arrays compute_periodic(const Array<int>& species, const Array<double>& coordinates,
                            const Array<double>& cell, const Array<std::int64_t>& pairs,
                            const Array<std::int32_t>& shifts, Wanted wanted) {
        // Forces on nodes give a virial only where images are particles.
        if (parameters().convention == CallingConvention::edges &&
            !parameters().returns_particle_forces()) {
            return compute_folded(species, coordinates, cell, pairs, shifts, wanted);
        }
        const UnfoldedSystem unfolded =
            unfold_arrays(species, coordinates, cell, pairs, shifts, parameters().n_layers);
        System system = unfolded.view();
        system.keep_images = true;
        auto [energy, forces, particle_energies, virial, particle_virials] = run(system, wanted);
        if (forces) *forces = fold(unfolded, *forces, 3);
        if (particle_energies) *particle_energies = fold(unfolded, *particle_energies, 1);
        if (particle_virials) *particle_virials = fold(unfolded, *particle_virials, 6);
        return {energy, forces, particle_energies, virial, particle_virials};
    }

  private:
    /// Without images: an edge from one comes from its atom.
    Arrays compute_folded(const Array<int>& species, const Array<double>& coordinates,
                          const Array<double>& cell, const Array<std::int64_t>& pairs,
                          const Array<std::int32_t>& shifts, Wanted wanted) {
        const PeriodicPairs given = checked_pairs(species, coordinates, cell, pairs, shifts);
        const NeighbourLists lists = folded_lists(species.size(), cell.data(), given);
        const std::vector<int> contributing(static_cast<std::size_t>(species.size()), 1);
        System system;
        system.n = species.size();
        system.species = species.data();
        system.coordinates = coordinates.data();
        system.contributing = contributing.data();
        system.neighbours = &lists;
        system.complete_lists = true;
        return run(system, wanted);
    }

    Arrays run(const System& system, Wanted wanted) {
        double energy = 0.0;
        std::optional<Array<double>> forces, particle_energies, virial, particle_virials;
        Results results;
        results.energy = &energy;
        if (wanted.forces) {
            forces.emplace(std::vector<py::ssize_t>{system.n, 3});
            virial.emplace(std::vector<py::ssize_t>{6});
            results.forces = forces->mutable_data();
            results.virial = virial->mutable_data();
        }
        if (wanted.particle_energies) {
            particle_energies.emplace(std::vector<py::ssize_t>{system.n});
            results.particle_energies = particle_energies->mutable_data();
        }
        if (wanted.particle_virials) {
            particle_virials.emplace(std::vector<py::ssize_t>{system.n, 6});
            results.particle_virials = particle_virials->mutable_data();
        }
        {
            const LockReleased released;
            const std::lock_guard<std::mutex> alone(computing_);  // threads may share the potential
            potential_.prepare(system);
            potential_.evaluate(results);
        }
        return {energy, forces, particle_energies, virial, particle_virials};
    }

    Potential potential_;
    mutable std::mutex computing_;
};

class PythonDescriptor {
  public:
    PythonDescriptor(const std::filesystem::path& file, const std::vector<std::string>& elements)
        : calculator_(file, elements) {}

    const std::string& kind() const { return calculator_.kind(); }
    int width() const { return calculator_.width(); }
    double cutoff() const { return calculator_.cutoff(); }

    Array<double> values(const Array<int>& species, const Array<double>& coordinates,
                         const Array<double>& cell, const Array<std::int64_t>& pairs,
                         const Array<std::int32_t>& shifts) {
        const UnfoldedSystem unfolded = unfold_arrays(species, coordinates, cell, pairs, shifts, 1);
        Array<double> values(std::vector<py::ssize_t>{unfolded.n_atoms, width()});
        double* data = values.mutable_data();
        {
            const LockReleased released;
            const std::lock_guard<std::mutex> alone(computing_);
            calculator_.values(unfolded.view(), data);
        }
        return values;
    }

    std::tuple<Array<double>, Array<double>> vjp(const Array<int>& species,
                                                 const Array<double>& coordinates,
                                                 const Array<double>& cell,
                                                 const Array<std::int64_t>& pairs,
                                                 const Array<std::int32_t>& shifts,
                                                 const Array<double>& weights) {
        const UnfoldedSystem unfolded = unfold_arrays(species, coordinates, cell, pairs, shifts, 1);
        require_shape(weights, "weights", {unfolded.n_atoms, width()});
        const System system = unfolded.view();
        Array<double> gradient(std::vector<py::ssize_t>{system.n, 3});
        Array<double> virial(std::vector<py::ssize_t>{6});
        double* of_positions = gradient.mutable_data();
        double* of_strain = virial.mutable_data();
        {
            const LockReleased released;
            const std::lock_guard<std::mutex> alone(computing_);
            calculator_.vjp(system, weights.data(), of_positions, of_strain);
        }
        return {fold(unfolded, gradient, 3), virial};
    }

  private:
    DescriptorCalculator calculator_;
    std::mutex computing_;
};

}  // namespace

}  // namespace torchml

PYBIND11_MODULE(_core, module) {
    using torchml::PythonPotential;
    module.doc() = "The compiled engine of torchml_driver.";
    module.attr("__version__") = TORCHML_VERSION;
    auto error = py::register_exception<torchml::Error>(module, "Error", PyExc_RuntimeError);
    error.doc() = "A model or its input is unusable; the message says what to do.";
    py::register_exception<torchml::NotDefined>(module, "NotDefinedError", error).doc() =
        "The model provides the requested result for no system.";
    py::register_exception<torchml::ErrorHere>(module, "ErrorHere", error).doc() =
        "This machine, its torch or its environment is at fault; the model may run elsewhere.";
    py::register_local_exception_translator([](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const c10::Error& problem) {  // unexpected; without torch's call stack
            throw torchml::Error(torchml::essence(problem));
        }
    });
    module.def("atomic_number", &torchml::atomic_number, py::arg("symbol"),
               "Atomic number of an element's symbol, 0 if there is no such element.");
    module.def("element_symbol", &torchml::element_symbol, py::arg("atomic_number"),
               "Symbol of the element with an atomic number, empty if there is no such element.");
    module.def(
        "libtorch",
        [] { return std::make_tuple(torchml::torch_version(), torchml::torch_folder()); },
        "Version and folder of the libtorch that this process computes with.");
    py::class_<PythonPotential>(module, "Potential")
        .def(py::init<const std::vector<std::filesystem::path>&, std::optional<bool>,
                      const std::optional<std::string>&>(),
             py::arg("files"), py::arg("atomic_numbers"), py::arg("device"),
             py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("elements",
                               [](const PythonPotential& p) { return p.parameters().elements; })
        .def_property_readonly("cutoff",
                               [](const PythonPotential& p) { return p.parameters().cutoff; })
        .def_property_readonly(
            "influence_distance",
            [](const PythonPotential& p) { return p.parameters().influence_distance(); })
        .def_property_readonly("ghost_reach", &PythonPotential::ghost_reach)
        .def_property_readonly("graph", py::cpp_function(&PythonPotential::graph,
                                                         py::call_guard<py::gil_scoped_release>()))
        .def_property_readonly("device", &PythonPotential::device)
        .def_property_readonly("model_file",
                               [](const PythonPotential& p) { return p.parameters().model_file; })
        .def_property_readonly("has_descriptor",
                               [](const PythonPotential& p) {
                                   return p.parameters().convention ==
                                          torchml::CallingConvention::descriptor;
                               })
        .def_property_readonly("defines_particle_virials",
                               &PythonPotential::defines_particle_virials)
        .def_property("species_codes", &PythonPotential::species_codes,
                      &PythonPotential::set_species_codes)
        .def_property_readonly("atomic_numbers", &PythonPotential::atomic_numbers)
        .def_property_readonly(
            "recorded_atomic_numbers",
            [](const PythonPotential& p) { return p.parameters().atomic_numbers; })
        .def_property_readonly(
            "precision",
            py::cpp_function(&PythonPotential::precision, py::call_guard<py::gil_scoped_release>()))
        .def_property_readonly("input_type",
                               py::cpp_function(&PythonPotential::input_type,
                                                py::call_guard<py::gil_scoped_release>()))
        .def_property_readonly("energy_type",
                               py::cpp_function(&PythonPotential::energy_type,
                                                py::call_guard<py::gil_scoped_release>()))
        .def_property_readonly("weight_types", &PythonPotential::weight_types)
        .def("take_warnings", &PythonPotential::take_warnings,
             py::call_guard<py::gil_scoped_release>())
        .def(
            "compute_particles",
            [](PythonPotential& p, const torchml::Array<int>& species,
               const torchml::Array<double>& coordinates, const torchml::Array<int>& contributing,
               const torchml::Array<int>& n_neigh, const torchml::Array<int>& nlist, bool forces,
               bool particle_energies, bool particle_virials) {
                return p.compute_particles(species, coordinates, contributing, n_neigh, nlist,
                                           {forces, particle_energies, particle_virials});
            },
            py::arg("species"), py::arg("coordinates"), py::arg("contributing"), py::arg("n_neigh"),
            py::arg("nlist"), py::arg("forces"), py::arg("particle_energies"),
            py::arg("particle_virials"))
        .def(
            "compute_periodic",
            [](PythonPotential& p, const torchml::Array<int>& species,
               const torchml::Array<double>& coordinates, const torchml::Array<double>& cell,
               const torchml::Array<std::int64_t>& pairs,
               const torchml::Array<std::int32_t>& shifts, bool forces, bool particle_energies,
               bool particle_virials) {
                return p.compute_periodic(species, coordinates, cell, pairs, shifts,
                                          {forces, particle_energies, particle_virials});
            },
            py::arg("species"), py::arg("coordinates"), py::arg("cell"), py::arg("pairs"),
            py::arg("shifts"), py::arg("forces"), py::arg("particle_energies"),
            py::arg("particle_virials"));
    torchml::bind_tensors(module);
    using torchml::PythonDescriptor;
    py::class_<PythonDescriptor>(module, "Descriptor")
        .def(py::init<const std::filesystem::path&, const std::vector<std::string>&>(),
             py::arg("file"), py::arg("elements"))
        .def_property_readonly("kind", &PythonDescriptor::kind)
        .def_property_readonly("width", &PythonDescriptor::width)
        .def_property_readonly("cutoff", &PythonDescriptor::cutoff)
        .def("values", &PythonDescriptor::values, py::arg("species"), py::arg("coordinates"),
             py::arg("cell"), py::arg("pairs"), py::arg("shifts"))
        .def("vjp", &PythonDescriptor::vjp, py::arg("species"), py::arg("coordinates"),
             py::arg("cell"), py::arg("pairs"), py::arg("shifts"), py::arg("weights"));
}
