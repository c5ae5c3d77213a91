// The driver's interface to KIM: registration, pointers, units, error codes. Everything that KIM
// calls is in this file, and no exception leaves it.

#include <KIM_LogVerbosity.hpp>
#include <KIM_ModelDriverHeaders.hpp>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/potential.hpp"
#include "kim/job.hpp"
#include "kim/model_files.hpp"
#include "kim/units.hpp"
#include "process/python_lock.hpp"
#include "process/ranks.hpp"
#include "runtime/messages.hpp"

namespace torchml::kim {

namespace {

constexpr int success = 0;
constexpr int failure = 1;

/// The state that KIM keeps for the driver between calls.
struct Model {
    Model(const std::vector<std::filesystem::path>& paths, const Units& simulators)
        : potential(paths), files(paths), units(simulators) {
        published_cutoff = potential.parameters().cutoff * units.length_per_angstrom;
        use_published_cutoff();
        only_contributing_neighbours = potential.needs_only_contributing_neighbours();
    }

    void use_published_cutoff() {
        cutoff = published_cutoff;
        influence_distance = cutoff * potential.reach();
    }

    Potential potential;
    ModelFiles files;
    Units units;
    double influence_distance = 0.0;  // in the simulator's unit, like the cutoffs
    double cutoff = 0.0;
    double published_cutoff = 0.0;  // a simulator may change it and then call refresh()
    int only_contributing_neighbours = 1;
    std::mutex computing;  // KIM lets several threads compute with one model
};

/// Waits until no other thread computes with the model. Releases Python's lock meanwhile, which the
/// other thread may need to finish.
std::unique_lock<std::mutex> alone_with(Model& model) {
    std::unique_lock<std::mutex> lock(model.computing, std::try_to_lock);
    if (!lock.owns_lock()) {
        const PythonLockReleased released;
        lock.lock();
    }
    return lock;
}

/// Runs `routine`; whatever it throws becomes one line in KIM's log and KIM's error code, or ends
/// the ranks that would otherwise wait for this one.
template <class Logger, class Routine>
int guarded(const Logger* logger, int line, Routine&& routine) {
    const auto log = [&](const char* message) {
        try {
            const std::string text = std::string("TorchML: ") + message;
            logger->LogEntry(KIM::LOG_VERBOSITY::error, text, line, __FILE__);
            end_job_of_several_ranks(text);
            Ranks::give_up(text);
        } catch (...) {  // no memory even for the message: the error code has to do
        }
        return failure;
    };
    try {
        routine();
        return success;
    } catch (const Error& problem) {
        return log(problem.what());
    } catch (const std::exception& problem) {  // unexpected: from torch, or out of memory
        return log(essence(problem).c_str());
    } catch (...) {
        return log("an exception of an unknown type was thrown.");
    }
}

/// Writes the potential's warnings to KIM's log.
template <class Logger>
void log_warnings(const Logger& logger, Potential& potential) {
    for (const std::string& text : potential.take_warnings()) {
        logger.LogEntry(KIM::LOG_VERBOSITY::warning, "TorchML: " + text, __LINE__, __FILE__);
    }
}

void require(int kim_failed, const char* what) {
    if (kim_failed) fail("KIM-API refused ", what, ".");
}

template <class Source>
Model& model_of(const Source* source) {
    void* buffer = nullptr;
    source->GetModelBufferPointer(&buffer);
    return *static_cast<Model*>(buffer);
}

/// The simulator's neighbour lists.
class KimNeighbours final : public NeighbourSource {
  public:
    explicit KimNeighbours(const KIM::ModelComputeArguments& arguments) : arguments_(arguments) {}

    Neighbours of(std::int64_t particle) const override {
        Neighbours neighbours;
        if (arguments_.GetNeighborList(0, static_cast<int>(particle), &neighbours.count,
                                       &neighbours.indices)) {
            fail("the simulator gave no neighbour list for particle ", particle, ".");
        }
        return neighbours;
    }

  private:
    const KIM::ModelComputeArguments& arguments_;
};

int compute_arguments_create(const KIM::ModelCompute* const compute,
                             KIM::ModelComputeArgumentsCreate* const create) {
    return guarded(create, __LINE__, [&] {
        using namespace KIM::COMPUTE_ARGUMENT_NAME;
        for (const auto& name :
             {partialEnergy, partialForces, partialParticleEnergy, partialVirial}) {
            require(create->SetArgumentSupportStatus(name, KIM::SUPPORT_STATUS::optional),
                    "an argument's support status");
        }
        if (model_of(compute).potential.defines_particle_virial()) {
            require(create->SetArgumentSupportStatus(partialParticleVirial,
                                                     KIM::SUPPORT_STATUS::optional),
                    "an argument's support status");
        }
    });
}

int compute_arguments_destroy(const KIM::ModelCompute*, KIM::ModelComputeArgumentsDestroy* const) {
    return success;  // the driver attaches nothing to them
}

int compute(const KIM::ModelCompute* const compute,
            const KIM::ModelComputeArguments* const arguments) {
    return guarded(compute, __LINE__, [&] {
        using namespace KIM::COMPUTE_ARGUMENT_NAME;
        Model& model = model_of(compute);
        const int* n = nullptr;
        System system;
        Results results;
        if (arguments->GetArgumentPointer(numberOfParticles, &n) ||
            arguments->GetArgumentPointer(particleSpeciesCodes, &system.species) ||
            arguments->GetArgumentPointer(particleContributing, &system.contributing) ||
            arguments->GetArgumentPointer(coordinates, &system.coordinates) ||
            arguments->GetArgumentPointer(partialEnergy, &results.energy) ||
            arguments->GetArgumentPointer(partialForces, &results.forces) ||
            arguments->GetArgumentPointer(partialParticleEnergy, &results.particle_energies) ||
            arguments->GetArgumentPointer(partialVirial, &results.virial)) {
            fail("KIM-API returned no pointer for an argument.");
        }
        // KIM reports an error for requests of what was declared as not supported.
        if (model.potential.defines_particle_virial() &&
            arguments->GetArgumentPointer(partialParticleVirial, &results.particle_virials)) {
            fail("KIM-API returned no pointer for the particles' virials.");
        }
        const KimNeighbours neighbours(*arguments);
        system.n = *n;
        system.neighbours = &neighbours;
        system.ranks_together = true;
        system.angstrom = model.units.angstrom;
        results.energy_unit = model.units.energy_per_ev;
        results.force_unit = model.units.energy_per_ev * model.units.angstrom;

        const auto alone = alone_with(model);
        model.potential.prepare(system);
        {
            const PythonLockReleased released;
            model.potential.evaluate(results);
        }
        log_warnings(*compute, model.potential);
    });
}

/// KIM calls this after a simulator has changed the published cutoff.
int refresh(KIM::ModelRefresh* const refresh) {
    return guarded(refresh, __LINE__, [&] {
        Model& model = model_of(refresh);
        const auto publish = [&] {
            refresh->SetInfluenceDistancePointer(&model.influence_distance);
            refresh->SetNeighborListPointers(1, &model.cutoff, &model.only_contributing_neighbours);
        };
        publish();  // in any case, since KIM has forgotten them
        const auto alone = alone_with(model);
        // Converting units back and forth is not exact: leave a cutoff alone that nobody changed.
        if (model.published_cutoff == model.cutoff) return;
        model.potential.set_cutoff(model.published_cutoff * model.units.angstrom);
        model.use_published_cutoff();
    });
}

int write_parameterized_model(const KIM::ModelWriteParameterizedModel* const write) {
    return guarded(write, __LINE__, [&] {
        const Model& model = model_of(write);
        const std::string* folder = nullptr;
        write->GetPath(&folder);
        model.files.write(*folder, model.potential.parameters().cutoff);
        for (const std::string& name : model.files.names()) write->SetParameterFileName(name);
    });
}

int destroy(KIM::ModelDestroy* const destroy) {
    return guarded(destroy, __LINE__, [&] {
        const PythonLockReleased released;
        delete &model_of(destroy);
    });
}

/// required: whether a simulator must know the routine to run the model.
void set_routine(KIM::ModelDriverCreate* create, KIM::ModelRoutineName name, KIM::Function* routine,
                 bool required = true) {
    require(create->SetRoutinePointer(name, KIM::LANGUAGE_NAME::cpp, required, routine),
            "a routine");
}

std::unique_ptr<Model> load_model_files(const KIM::ModelDriverCreate& create, const Units& units) {
    int count = 0;
    create.GetNumberOfParameterFiles(&count);
    const std::string* folder = nullptr;
    create.GetParameterFileDirectoryName(&folder);
    std::vector<std::filesystem::path> files;
    for (int index = 0; index < count; ++index) {
        const std::string* name = nullptr;
        require(create.GetParameterFileBasename(index, &name), "a parameter file's name");
        files.push_back(std::filesystem::path(*folder) / *name);
    }
    return std::make_unique<Model>(files, units);
}

void create_model(KIM::ModelDriverCreate* const create, const Units& units) {
    on_error();  // reports an unknown value now, not when something has failed
    std::unique_ptr<Model> model = load_model_files(*create, units);
    log_warnings(*create, model->potential);

    require(create->SetUnits(units.length, units.energy, KIM::CHARGE_UNIT::unused,
                             KIM::TEMPERATURE_UNIT::unused, KIM::TIME_UNIT::unused),
            "the units");
    require(create->SetModelNumbering(KIM::NUMBERING::zeroBased), "the numbering of particles");
    const auto& elements = model->potential.parameters().elements;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        require(create->SetSpeciesCode(KIM::SpeciesName(elements[i]),
                                       model->potential.species_codes()[i]),
                "a species");
    }
    create->SetInfluenceDistancePointer(&model->influence_distance);
    create->SetNeighborListPointers(1, &model->cutoff, &model->only_contributing_neighbours);

    // KIM lets only models that publish a parameter write themselves. Weights are not parameters:
    // they are in the model file, in the model's own precision, and KIM's parameters are doubles.
    require(create->SetParameterPointer(
                1, &model->published_cutoff, "cutoff",
                "Distance up to which a pair of particles interacts directly, in the simulator's "
                "unit of length"),
            "a parameter");
    using namespace KIM::MODEL_ROUTINE_NAME;
    const auto generic = [](auto* routine) { return reinterpret_cast<KIM::Function*>(routine); };
    set_routine(create, ComputeArgumentsCreate, generic(&compute_arguments_create));
    set_routine(create, ComputeArgumentsDestroy, generic(&compute_arguments_destroy));
    set_routine(create, Compute, generic(&compute));
    set_routine(create, Refresh, generic(&refresh));
    set_routine(create, WriteParameterizedModel, generic(&write_parameterized_model),
                /*required=*/false);
    set_routine(create, Destroy, generic(&destroy));
    create->SetModelBufferPointer(model.release());  // until destroy()
}

}  // namespace

}  // namespace torchml::kim

/// The routine that KIM calls first; CMakeLists.txt registers its name.
extern "C" int torchml_model_driver_create(KIM::ModelDriverCreate* const create,
                                           KIM::LengthUnit const length,
                                           KIM::EnergyUnit const energy, KIM::ChargeUnit const,
                                           KIM::TemperatureUnit const, KIM::TimeUnit const) {
    return torchml::kim::guarded(create, __LINE__, [&] {
        const torchml::PythonLockReleased released;
        torchml::kim::create_model(create, torchml::kim::convert_units(length, energy));
    });
}
