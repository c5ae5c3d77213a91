#include "engine/potential.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <map>
#include <numeric>

#include "base/elements.hpp"
#include "base/error.hpp"
#include "base/joined.hpp"
#include "base/warnings.hpp"
#include "engine/energies.hpp"
#include "engine/species_codes.hpp"
#include "inputs/list_check.hpp"
#include "inputs/make.hpp"
#include "process/forking.hpp"
#include "process/host_state.hpp"
#include "process/profile.hpp"
#include "process/threads.hpp"
#include "runtime/load.hpp"
#include "runtime/loaded_libraries.hpp"
#include "runtime/memory/tensor_memory.hpp"
#include "runtime/messages.hpp"
#include "runtime/torch_devices.hpp"
#include "runtime/type_names.hpp"
#include "torch_ops/exchange.hpp"

namespace torchml {

namespace {

using Path = std::filesystem::path;

Path find_parameter_file(const std::vector<Path>& files) {
    Path found;
    for (const Path& file : files) {
        if (file.extension() != ".param") continue;
        if (!found.empty()) {
            fail("the model has two parameter files, ", found.filename().string(), " and ",
                 file.filename().string(), ". Remove the one that is not this model's.");
        }
        found = file;
    }
    if (found.empty()) {
        fail(
            "the model has no parameter file (*.param). Write one with `torchml-install model "
            "pack`.");
    }
    return found;
}

Path find_model_file(const std::vector<Path>& files, const std::string& name,
                     const Path& parameter_file) {
    std::vector<std::string> others;
    for (const Path& file : files) {
        if (file.filename() == name) return file;
        if (file != parameter_file) others.push_back(file.filename().string());
    }
    fail("parameter file ", parameter_file.filename().string(), " names the model file '", name,
         "', which is not among the model's files (",
         others.empty() ? "there is no other" : joined(others),
         "). Add that file, or correct the name.");
}

/// The device for this process. Checks for a fork and for a second torch first, since a device
/// would fail with a message that explains neither.
c10::Device usable_device(const std::optional<std::string>& wanted) {
    require_not_forked_after_use();
    require_one_torch();
    return execution_device(wanted);
}

std::optional<at::ScalarType> recorded_type(const Parameters& parameters) {
    if (!parameters.precision) return std::nullopt;
    return type_of(*parameters.precision);
}

/// Σ x ∂E/∂x over all particles: the derivative of the energy with respect to a strain of the whole
/// system. Measures x from the first particle, not from the origin: forces add up to zero only to
/// the model's rounding, which a system far from the origin would multiply. The strain is
/// symmetric: models that do not depend on directions exactly, such as PET, have another derivative
/// with respect to each half of a shear.
void virial_of_forces(const double* coordinates, double angstrom, const std::vector<double>& forces,
                      double unit, double* virial) {
    constexpr int rows[6] = {0, 1, 2, 1, 0, 0};
    constexpr int columns[6] = {0, 1, 2, 2, 2, 1};
    double sums[6] = {};
    for (std::size_t i = 0; i < forces.size(); i += 3) {
        for (int k = 0; k < 6; ++k) {
            const auto row = static_cast<std::size_t>(rows[k]);
            const auto column = static_cast<std::size_t>(columns[k]);
            sums[k] -= 0.5 * ((coordinates[i + row] - coordinates[row]) * forces[i + column] +
                              (coordinates[i + column] - coordinates[column]) * forces[i + row]);
        }
    }
    for (int k = 0; k < 6; ++k) virial[k] = sums[k] * angstrom * unit;
}

// From these sizes on, threads save more than they cost (benchmarks/THREADS.md): the bytes of the
// tensors that a step makes (some 5 ms of work); and the number of particles, for the first step
// and for descriptors.
constexpr std::size_t parallel_bytes = 40'000'000;
constexpr std::int64_t parallel_particles = 200;

}  // namespace

struct Potential::Implementation {
    TensorMemoryUser tensor_memory;  // destroyed last, after everything that holds tensors
    Warnings warnings;
    c10::Device device;
    Parameters parameters;
    SpeciesCodes kind_of_codes;
    std::vector<int> codes;
    std::vector<bool> known_code;  // by code
    std::unique_ptr<Runtime> runtime;
    std::unique_ptr<Inputs> inputs;
    System system;  // the last prepared; its arrays live until evaluate() has returned
    std::int64_t n_contributing = 0;
    std::vector<double> forces;               // eV/Å
    std::optional<std::size_t> tensor_bytes;  // of the tensors that the last step made
    std::optional<at::ScalarType> energy_type;
    std::int64_t n_seen = 0;                 // particles that the model saw in its last run
    std::int64_t n_rows = 0;                 // of the differentiable input in that run
    bool needs_company = false;              // the model has failed without
    std::map<int, double> company_energies;  // eV, of a group, by species code: see without_company
    ListCheck list_check;
    Profile profile;

    Implementation(const std::vector<Path>& files, std::optional<bool> atomic_numbers,
                   const std::optional<std::string>& wanted_device)
        : device(usable_device(wanted_device)) {
        check_linear_algebra(warnings);
        const Path parameter_file = find_parameter_file(files);
        parameters = read_parameters(parameter_file);
        kind_of_codes = choose_species_codes(parameters, parameter_file.filename().string(),
                                             atomic_numbers, process_environment(), warnings);
        std::vector<int> chosen;
        for (const std::string& element : parameters.elements) {
            chosen.push_back(kind_of_codes.atomic_numbers ? atomic_number(element)
                                                          : static_cast<int>(chosen.size()));
        }
        use_codes(std::move(chosen));
        runtime =
            load_model(find_model_file(files, parameters.model_file, parameter_file),
                       parameters.returns_forces, device, recorded_type(parameters), warnings);
        inputs = make_inputs({parameters, codes, files, runtime->scalar_type(),
                              runtime->may_round_inputs(), choose_ghosts(process_environment()),
                              runtime->exchanges()});
        runtime->check_arguments(inputs->argument_names());
    }

    void use_codes(std::vector<int> chosen) {
        const auto largest = *std::max_element(chosen.begin(), chosen.end());
        known_code.assign(static_cast<std::size_t>(largest) + 1, false);
        for (const int code : chosen) known_code[static_cast<std::size_t>(code)] = true;
        codes = std::move(chosen);
    }

    void set_species_codes(const std::vector<int>& chosen) {
        if (parameters.convention == CallingConvention::descriptor) {
            fail("a descriptor model takes no species codes. Leave them as they are.");
        }
        if (chosen.size() != codes.size()) {
            fail("there are ", chosen.size(), " species codes; expected one for each of the ",
                 codes.size(), " elements.");
        }
        if (std::any_of(chosen.begin(), chosen.end(), [](int code) { return code < 0; })) {
            fail("species codes cannot be negative.");
        }
        kind_of_codes.source = SpeciesCodes::Source::trial;
        use_codes(chosen);
    }

    void set_cutoff(double cutoff) {
        if (!std::isfinite(cutoff) || cutoff <= 0.0) {
            fail("the cutoff must be a positive length, not ", cutoff, " Å.");
        }
        if (cutoff == parameters.cutoff) return;
        if (parameters.convention == CallingConvention::descriptor) {
            fail(
                "a descriptor model's cutoffs cannot be changed: its descriptor file sets them, "
                "and the model was trained with them. Leave the cutoff as it is.");
        }
        Parameters changed = parameters;
        changed.cutoff = cutoff;
        const std::vector<Path> no_files;  // only descriptors come from one
        inputs = make_inputs({changed, codes, no_files, runtime->scalar_type(),
                              runtime->may_round_inputs(), choose_ghosts(process_environment()),
                              runtime->exchanges()});
        parameters = std::move(changed);
        company_energies.clear();
    }

    void prepare(const System& next) {
        require_not_forked_after_use();
        const Profile::Measure measure(profile, Stage::inputs);
        if (next.n < 0 || next.n > std::numeric_limits<std::int32_t>::max()) {
            fail("the simulator passes ", next.n, " particles; the driver takes 0 to ",
                 std::numeric_limits<std::int32_t>::max(), ".");
        }
        system = next;
        n_contributing = 0;
        for (std::int64_t i = 0; i < next.n; ++i) {
            const int code = next.species[i];
            if (code < 0 || static_cast<std::size_t>(code) >= known_code.size() ||
                !known_code[static_cast<std::size_t>(code)]) {
                std::vector<std::string> known;
                for (const int one : codes) known.push_back(std::to_string(one));
                fail("particle ", i, " has the species code ", code,
                     ", which is not one of the model's (", joined(known), ").");
            }
            n_contributing += next.contributing[i] != 0;
        }
        if (n_contributing == 0 && !inputs->prepares_together()) return;
        inputs->prepare(next);
        if (n_contributing == 0) return;
        if (auto text = list_check.look(next, inputs->coordinates(), inputs->neighbours())) {
            warnings.add(std::move(*text));
        }
    }

    /// The number of threads for the next evaluation: one, unless there is enough to do or the user
    /// has set the number. Threads spin until all of them have finished an operation: if another
    /// process occupies the core of one, the others spin for that process's whole time slice, many
    /// times longer than the operation. The choice depends on what a step does, not on how long it
    /// takes, so that a repeated run gives the same numbers.
    int threads() const {
        const Threads all = process_threads();
        const bool descriptor = parameters.convention == CallingConvention::descriptor;
        const bool many = n_contributing >= parallel_particles;
        const bool worthwhile =
            tensor_bytes ? *tensor_bytes >= parallel_bytes || (descriptor && many) : many;
        return all.by_user || worthwhile ? all.count : 1;
    }

    void evaluate(const Results& results, int n_threads) {
        note_use();
        run_model(results);
        Profile::Step step{system.n, n_contributing, n_threads, tensor_bytes.value_or(0), ""};
        if (profile.on()) step.graph = graph_line();
        profile.count_step(step);
    }

    /// Of the last step; empty if the convention makes only one kind of graph, or without a step.
    std::optional<GraphFacts> graph() const {
        return n_contributing == 0 ? std::nullopt : inputs->graph();
    }

    std::string graph_line() const {
        const auto facts = graph();
        if (!facts) return "";
        std::string text = facts->mode;
        text.append(", ").append(std::to_string(facts->n_nodes)).append(" nodes, ");
        text.append(std::to_string(facts->n_edges)).append(" edges");
        if (!facts->reason.empty()) text.append(". ").append(facts->reason);
        return text;
    }

    void run_model(const Results& results) {
        forces.assign(3 * static_cast<std::size_t>(system.n), 0.0);
        if (n_contributing == 0) {  // an MPI rank may own a region without any particle
            if (results.energy != nullptr) *results.energy = 0.0;
            if (results.particle_energies != nullptr) {
                std::fill_n(results.particle_energies, system.n, 0.0);
            }
            if (results.particle_virials != nullptr) {
                std::fill_n(results.particle_virials, 6 * system.n, 0.0);
            }
            write_forces(results);
            if (results.virial != nullptr) std::fill_n(results.virial, 6, 0.0);
            return;
        }
        Request request;
        request.gradient = results.forces != nullptr || results.virial != nullptr ||
                           results.particle_virials != nullptr;
        request.differentiable = inputs->differentiable();
        const KeptTensorMemory kept;
        compute(results, request);
        tensor_bytes = kept.allocated();
    }

    void compute(const Results& results, const Request& request) {
        {
            const Profile::Measure measure(profile, Stage::inputs);
            inputs->complete();
        }
        const Evaluation evaluation = evaluate_with_company(request);
        const Profile::Measure measure(profile, Stage::outputs);
        const std::int64_t n_company = inputs->n_company();
        Energies energies;
        double energy = evaluation.energy;
        if (n_company == 0) {
            energies = read_energies(evaluation.energies, n_seen, n_contributing);
        } else {
            energies = without_company(evaluation, n_company);
            const auto* rows = energies.rows.data_ptr<double>();
            energy = std::accumulate(rows, rows + energies.rows.size(0), 0.0);
        }
        energy_type = evaluation.energy_type;
        if (!std::isfinite(energy)) refuse_energies(energies);
        if (results.energy != nullptr) *results.energy = energy * results.energy_unit;
        if (results.particle_energies != nullptr) write_particle_energies(energies, results);
        if (request.gradient) {
            read_forces(evaluation);
            write_forces(results);
            if (results.virial != nullptr) write_virial(evaluation, results);
        }
        if (results.particle_virials != nullptr) write_particle_virials(evaluation, results);
    }

    /// See SpeciesCodes::doubt().
    std::string doubt_of_codes() const {
        return parameters.convention == CallingConvention::descriptor ? "" : kind_of_codes.doubt();
    }

    /// At the first exchange between ranks: throws an Error if energies depend on features of other
    /// ranks' nodes that the model has computed instead of having them sent.
    void check_exchange(const Evaluation& evaluation) {
        std::vector<at::Tensor> inputs_to_compare = inputs->tensors_to_compare();
        if (inputs_to_compare.empty()) return;
        Request request;
        request.differentiable = inputs->differentiable();
        const Evaluation other = runtime->evaluate(std::move(inputs_to_compare), request, profile);
        if (evaluation.energies.sizes() == other.energies.sizes()) {
            const auto *a = evaluation.energies.data_ptr<double>(),
                       *b = other.energies.data_ptr<double>();
            double scale = 1.0, largest = 0.0;
            for (std::int64_t k = 0; k < evaluation.energies.numel(); ++k) {
                scale += std::abs(a[k]);
                largest = std::max(largest, std::abs(a[k] - b[k]));
            }
            if (largest <= 10.0 * sum_precision() * scale) return;
        }
        fail(
            "on several MPI ranks the energies of this model depend on what it computes for other "
            "ranks' nodes: it has to call torch.ops.torchml.exchange between any two layers, on "
            "everything that one layer hands on to the next. Correct the model, or set "
            "KIM_MODEL_GHOSTS=stage.");
    }

    /// Runs the model on its inputs.
    Evaluation run_on_inputs(const Request& request) {
        std::vector<at::Tensor> tensors;
        {
            const Profile::Measure measure(profile, Stage::copies);
            tensors = inputs->tensors();
        }
        const std::shared_ptr<RowExchange> exchange = inputs->exchange();
        const ExchangeScope scope(exchange);
        n_rows = tensors[request.differentiable].size(0);
        try {
            Evaluation evaluation = runtime->evaluate(std::move(tensors), request, profile);
            if (exchange != nullptr) check_exchange(evaluation);
            if (parameters.returns_edge_gradient && evaluation.forces.defined()) {
                evaluation.gradient = read_edge_gradient(evaluation.forces, n_rows);
                evaluation.forces.reset();
            }
            return evaluation;
        } catch (const ModelError& problem) {
            const std::string doubt = doubt_of_codes();
            if (doubt.empty()) throw;
            fail<ModelError>(sentence(problem.what()), doubt);
        }
    }

    /// Runs the model; if no pair is within the cutoff, with company where the model needs it.
    Evaluation evaluate_with_company(const Request& request) {
        n_seen = inputs->n_particles();
        const Company company = inputs->company();
        if (inputs->has_pairs() || company == Company::never) return run_on_inputs(request);
        std::exception_ptr first_problem;
        if (company == Company::if_needed && !needs_company) {
            try {
                Evaluation evaluation = run_on_inputs(request);
                if (is_finite(evaluation)) return evaluation;
            } catch (const Error&) {
                first_problem = std::current_exception();
            }
        }
        inputs->add_company(company_species());
        n_seen = inputs->n_particles();
        try {
            Evaluation evaluation = run_on_inputs(request);
            needs_company = company == Company::if_needed && is_finite(evaluation);
            return evaluation;
        } catch (const Error&) {  // the message about the original system is more useful
            if (first_problem != nullptr) std::rethrow_exception(first_problem);
            throw;
        }
    }

    static bool is_finite(const Evaluation& evaluation) {
        const auto finite = [](const at::Tensor& tensor) {
            return !tensor.defined() || std::isfinite(tensor.abs().sum().item<double>());
        };
        return std::isfinite(evaluation.energy) && finite(evaluation.gradient) &&
               finite(evaluation.forces);
    }

    /// The species of an existing particle, since a model may look at which species are present.
    int company_species() const {
        const auto* first = std::find_if(system.contributing, system.contributing + system.n,
                                         [](int flag) { return flag != 0; });
        return system.species[first - system.contributing];
    }

    /// The energies of a model that ran with company, without those of the company. Whether a total
    /// includes them shows when more company is added: the total should not change, as these
    /// particles do not contribute, but not every model looks at that flag.
    Energies without_company(const Evaluation& evaluation, std::int64_t n_company) {
        const bool contribute = inputs->company() == Company::if_needed;
        Energies energies = read_energies(evaluation.energies, n_seen,
                                          n_contributing + (contribute ? n_company : 0));
        const std::int64_t n_rows = energies.rows.size(0);
        if (n_rows > 1) {
            const bool in_rows = contribute || energies.owners == EnergyOwners::particles;
            if (in_rows) energies.rows = energies.rows.narrow(0, 0, n_rows - n_company);
            return energies;
        }
        const auto known = company_energies.find(company_species());
        double extra = 0.0;
        if (known != company_energies.end()) {
            extra = known->second;
        } else {
            inputs->add_company(company_species());
            Request only_energy;
            only_energy.differentiable = inputs->differentiable();
            extra = run_on_inputs(only_energy).energy - evaluation.energy;
            const double rounding = std::abs(evaluation.energy) * sum_precision();
            if (!contribute && std::abs(extra) <= rounding) extra = 0.0;
            if (std::isfinite(extra)) company_energies.emplace(company_species(), extra);
        }
        energies.rows = energies.rows.sub(extra);
        energies.owners = n_contributing == 1 ? EnergyOwners::contributing : EnergyOwners::system;
        return energies;
    }

    /// The relative precision of a sum of many energies that the model itself computes.
    double sum_precision() const {
        switch (c10::elementSize(runtime->scalar_type())) {
            case 8:
                return 1e-12;
            case 4:
                return 1e-6;
            default:
                return 1e-2;
        }
    }

    /// Throws an Error that says which energy is not finite. Called if their sum is not.
    [[noreturn]] void refuse_energies(const Energies& energies) const {
        std::string whose;
        if (energies.owners != EnergyOwners::system) {
            std::vector<double> values(static_cast<std::size_t>(system.n), 0.0);
            to_particles(energies, values.data());
            const auto first = std::find_if(values.begin(), values.end(),
                                            [](double value) { return !std::isfinite(value); });
            if (first != values.end()) {
                whose = " of particle " + std::to_string(first - values.begin());
            }
        }
        fail("the model's energy", whose, " is not finite (nan or inf), for ", system.n,
             " particles, of which ", n_contributing, " contribute. ",
             "Check that no two particles are at the same place.", doubt_of_codes());
    }

    /// Writes each energy (eV) to the particle that it belongs to, and to no others.
    void to_particles(const Energies& energies, double* result) const {
        const auto* energy = energies.rows.data_ptr<double>();
        if (energies.owners == EnergyOwners::particles) {
            inputs->to_system(energy, 1, result);
            return;
        }
        for (std::int64_t i = 0; i < system.n; ++i) {
            if (system.contributing[i] != 0) result[i] = *energy++;
        }
    }

    void write_particle_energies(const Energies& energies, const Results& results) const {
        if (energies.owners == EnergyOwners::system) {
            throw NotDefined(
                "particle energies were requested, but the model returns only their sum. Request "
                "the total energy alone, or make the model return one energy per particle.");
        }
        std::fill_n(results.particle_energies, system.n, 0.0);
        to_particles(energies, results.particle_energies);
        for (std::int64_t i = 0; i < system.n; ++i) {
            results.particle_energies[i] *= results.energy_unit;
        }
    }

    void write_particle_virials(const Evaluation& evaluation, const Results& results) const {
        if (evaluation.forces.defined() || !inputs->defines_particle_virial()) {
            throw NotDefined(
                "particle virials were requested, but this model does not define them: its "
                "gradient gives the force on each particle, not which particle's energy it comes "
                "from. Request the virial of the whole system.");
        }
        std::fill_n(results.particle_virials, 6 * system.n, 0.0);
        if (!evaluation.gradient.defined()) return;
        inputs->particle_virials_from(evaluation.gradient, results.particle_virials);
        for (std::int64_t k = 0; k < 6 * system.n; ++k) {
            results.particle_virials[k] *= results.energy_unit;
        }
        const auto* end = results.particle_virials + 6 * system.n;
        const auto* first = std::find_if(static_cast<const double*>(results.particle_virials), end,
                                         [](double value) { return !std::isfinite(value); });
        if (first != end) {
            fail("the virial of particle ", (first - results.particle_virials) / 6,
                 " overflowed (inf or nan), since the model's energy is very steep there. Check "
                 "the structure around this particle.");
        }
    }

    void read_forces(const Evaluation& evaluation) {
        if (evaluation.forces.defined()) {
            if (parameters.convention == CallingConvention::edges && n_rows != n_seen &&
                evaluation.forces.sizes() == at::IntArrayRef{n_rows, 3}) {
                fail("the model returned forces of shape ", shape_of(evaluation.forces),
                     ", a row for each edge. If they are the energy's gradient with respect to "
                     "edge_vectors, pack the model with --returns-edge-gradient; expected [",
                     n_seen, ", 3], the forces on the nodes.");
            }
            const ForceRows rows =
                read_forces_of(evaluation.forces, n_seen, n_contributing, system.n);
            const auto* values = rows.rows.data_ptr<double>();
            if (rows.of_all_the_model_sees) {
                inputs->to_system(values, 3, forces.data());
            } else {
                std::copy_n(values, forces.size(), forces.data());
            }
        } else if (evaluation.gradient.defined()) {
            inputs->forces_from(evaluation.gradient, forces.data());
        } else if (inputs->has_pairs()) {
            fail("the model's energy does not depend on its ",
                 inputs->argument_names()[inputs->differentiable()],
                 " as far as autograd can see, so there are no forces. Remove detach() and "
                 "torch.no_grad() from the model and save it again. If it computes forces itself, "
                 "make it return (energies, forces) and set 'returns forces' to True.");
        }
        double sum = 0.0;  // not finite if any force is not
        for (const double force : forces) sum += std::abs(force);
        if (!std::isfinite(sum)) {
            const auto first = std::find_if(forces.begin(), forces.end(),
                                            [](double force) { return !std::isfinite(force); });
            fail("the model's force on particle ", (first - forces.begin()) / 3,
                 " is not finite (nan or inf), though its energy is. Look for an operation in the "
                 "model that is not differentiable there, such as the square root of zero.");
        }
    }

    void write_forces(const Results& results) const {
        if (results.forces == nullptr) return;
        for (std::size_t k = 0; k < forces.size(); ++k) {
            results.forces[k] = forces[k] * results.force_unit;
        }
    }

    void write_virial(const Evaluation& evaluation, const Results& results) const {
        if (evaluation.forces.defined() && !inputs->has_all_images()) {
            throw NotDefined(
                "the virial was requested, but the model returns forces on nodes, and with "
                "KIM_MODEL_GHOSTS=fold no node is where a periodic image is. Set "
                "KIM_MODEL_GHOSTS=auto; or make the model return the gradient with respect to "
                "edge_vectors, and pack it with --returns-edge-gradient.");
        }
        if (!inputs->defines_virial() || evaluation.forces.defined()) {
            virial_of_forces(system.coordinates, system.angstrom, forces, results.energy_unit,
                             results.virial);
        } else {
            std::fill_n(results.virial, 6, 0.0);
            if (evaluation.gradient.defined()) {
                inputs->virial_from(evaluation.gradient, results.virial);
            }
            for (int k = 0; k < 6; ++k) results.virial[k] *= results.energy_unit;
        }
        if (!std::all_of(results.virial, results.virial + 6,
                         [](double value) { return std::isfinite(value); })) {
            fail(
                "the virial overflowed (inf or nan). Check whether some particles are very far "
                "apart.");
        }
    }
};

Potential::Potential(const std::vector<Path>& files, std::optional<bool> atomic_numbers,
                     const std::optional<std::string>& device) {
    HostState host;
    look_for_torch_of_host();
    host.use_threads(process_threads().count);
    implementation_ = std::make_unique<Implementation>(files, atomic_numbers, device);
}
Potential::~Potential() {
    const HostState host;
    implementation_.reset();
}
Potential::Potential(Potential&&) noexcept = default;

const Parameters& Potential::parameters() const { return implementation_->parameters; }
const std::vector<int>& Potential::species_codes() const { return implementation_->codes; }
void Potential::set_species_codes(const std::vector<int>& codes) {
    implementation_->set_species_codes(codes);
}
bool Potential::atomic_numbers() const { return implementation_->kind_of_codes.atomic_numbers; }
int Potential::precision() const {
    return static_cast<int>(8 * c10::elementSize(implementation_->runtime->least_precise_type()));
}
std::string Potential::input_type() const {
    return type_name(implementation_->runtime->scalar_type());
}
std::vector<std::string> Potential::weight_types() const {
    std::vector<std::string> names;
    for (const auto type : implementation_->runtime->weight_types()) {
        names.push_back(type_name(type));
    }
    return names;
}
std::string Potential::energy_type() const {
    const auto& type = implementation_->energy_type;
    return type ? type_name(*type) : "";
}
std::string Potential::device() const { return implementation_->device.str(); }
bool Potential::defines_particle_virial() const {
    return !implementation_->parameters.returns_particle_forces() &&
           implementation_->inputs->defines_particle_virial();
}
std::optional<GraphFacts> Potential::graph() const { return implementation_->graph(); }
std::vector<std::string> Potential::take_warnings() { return implementation_->warnings.take(); }
void Potential::set_cutoff(double cutoff) {
    const HostState host;
    implementation_->set_cutoff(cutoff);
}
int Potential::reach() const { return implementation_->inputs->reach(); }
bool Potential::needs_only_contributing_neighbours() const {
    return implementation_->inputs->needs_only_contributing_neighbours();
}
void Potential::prepare(const System& system) {
    const HostState host;
    implementation_->prepare(system);
}
void Potential::evaluate(const Results& results) {
    HostState host;
    const int n_threads = implementation_->threads();
    host.use_threads(n_threads);
    implementation_->evaluate(results, n_threads);
}

}  // namespace torchml
