// A small KIM simulator that lets everything fail, once each:
//
//   simulator KIND SOUND_MODEL MODEL CUTOFF [STRIDE]
//
// repeatedly loads MODEL, computes with it, gives it another cutoff (CUTOFF, in A; or its own
// again), computes once more, lets it write itself into the folder "written", and destroys it. The
// first time, the first fault of its kind happens, then the second (or the one STRIDE further),
// until there are no more. Each time, a routine must report failure and the driver must log why
// (or, where a fault can be repaired, the results must be right). A routine that failed must
// succeed when it is called again, SOUND_MODEL must give the same results afterwards, and no memory
// may leak. KIND "mistake": the simulator passes one invalid value after the other.

#include <KIM_Log.hpp>
#include <KIM_SimulatorHeaders.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "faults.hpp"

namespace {

constexpr double sound_cutoff = 2.5;  // for the sound model

std::string log_text;
constexpr std::size_t longest_log = 1 << 20;

int log_entry(const std::string& entry) {
    if (log_text.size() + entry.size() < longest_log) log_text += entry;
    return 0;
}

/// A model's results.
struct Results {
    double energy = 0.0;
    double forces[9] = {};
    double particle_energies[3] = {};
    double virial[6] = {};
    double particle_virials[18] = {};  // zeros if the model has none

    bool operator==(const Results& other) const {
        return energy == other.energy && std::memcmp(forces, other.forces, sizeof forces) == 0 &&
               std::memcmp(particle_energies, other.particle_energies, sizeof particle_energies) ==
                   0 &&
               std::memcmp(virial, other.virial, sizeof virial) == 0 &&
               std::memcmp(particle_virials, other.particle_virials, sizeof particle_virials) == 0;
    }
};

/// A model's results, and the routine that failed, if any.
struct Outcome {
    std::string failed;
    bool failed_again = false;  // without any fault
    Results first;
    Results refreshed;  // with the other cutoff

    bool operator==(const Outcome& other) const {
        return failed == other.failed && first == other.first && refreshed == other.refreshed;
    }
};

/// Values that no simulator should pass.
enum class Mistake {
    none,
    no_particle,
    negative_particle,
    itself,
    negative_count,
    too_many,
    no_address,
    refusal,
    species,
    particles,
    nowhere,
    end,
};
Mistake mistake = Mistake::none;

int neighbours_of(void*, int, const double*, int, int particle, int* count,
                  const int** neighbours) {
    static const int first[] = {1}, second[] = {0, 2}, third[] = {1};
    static const int* const rows[] = {first, second, third};
    static const int beyond[] = {0, 3}, before[] = {0, -1}, own[] = {0, 1}, twice[] = {0, 2, 0};
    *count = particle == 1 ? 2 : 1;
    *neighbours = rows[particle];
    if (particle != 1) return 0;
    if (mistake == Mistake::no_particle) *neighbours = beyond;
    if (mistake == Mistake::negative_particle) *neighbours = before;
    if (mistake == Mistake::itself) *neighbours = own;
    if (mistake == Mistake::negative_count) *count = -1;
    if (mistake == Mistake::too_many) *count = 3, *neighbours = twice;
    if (mistake == Mistake::no_address) *neighbours = nullptr;
    return mistake == Mistake::refusal;
}

bool compute(KIM::Model& model, KIM::ComputeArguments& arguments, Results& results) {
    using namespace KIM::COMPUTE_ARGUMENT_NAME;
    const int n = mistake == Mistake::particles ? -3 : 3;
    static const int contributing[] = {1, 1, 0};
    double coordinates_of[] = {0.0, 0.0, 0.0, 2.2, 0.3, 0.1, 4.4, -0.2, 0.4};
    if (mistake == Mistake::nowhere) coordinates_of[8] = std::nan("");
    int supported = 0, code = 0;
    if (model.GetSpeciesSupportAndCode(KIM::SPECIES_NAME::Si, &supported, &code) || !supported) {
        return false;
    }
    const int species[] = {code, mistake == Mistake::species ? code + 1 : code, code};
    const auto generic = reinterpret_cast<KIM::Function*>(&neighbours_of);
    KIM::SupportStatus virials;
    if (arguments.GetArgumentSupportStatus(partialParticleVirial, &virials)) return false;
    if (virials != KIM::SUPPORT_STATUS::notSupported &&
        arguments.SetArgumentPointer(partialParticleVirial, results.particle_virials)) {
        return false;
    }
    return !arguments.SetArgumentPointer(numberOfParticles, &n) &&
           !arguments.SetArgumentPointer(particleSpeciesCodes, species) &&
           !arguments.SetArgumentPointer(particleContributing, contributing) &&
           !arguments.SetArgumentPointer(coordinates, coordinates_of) &&
           !arguments.SetArgumentPointer(partialEnergy, &results.energy) &&
           !arguments.SetArgumentPointer(partialForces, results.forces) &&
           !arguments.SetArgumentPointer(partialParticleEnergy, results.particle_energies) &&
           !arguments.SetArgumentPointer(partialVirial, results.virial) &&
           !arguments.SetCallbackPointer(KIM::COMPUTE_CALLBACK_NAME::GetNeighborList,
                                         KIM::LANGUAGE_NAME::cpp, generic, nullptr) &&
           !model.Compute(&arguments);
}

/// Calls `routine`. If that fails, calls it again without the fault, which must succeed, after
/// `unchanged` has checked that the model is as before.
template <class Routine, class Unchanged>
bool call(const char* name, Outcome& outcome, const Routine& routine, const Unchanged& unchanged) {
    if (routine()) return true;
    outcome.failed = name;
    faults::disarm();
    mistake = Mistake::none;
    outcome.failed_again = !unchanged() || !routine();
    return false;
}

/// Checks that the results of another computation are `expected`, if that is known.
void use(KIM::Model& model, KIM::ComputeArguments& arguments, double cutoff, const Outcome* normal,
         Outcome& outcome) {
    const auto gives = [&](const Results* expected) {
        Results again;
        return compute(model, arguments, again) && (expected == nullptr || again == *expected);
    };
    const auto* first = normal == nullptr ? nullptr : &normal->first;
    const auto* refreshed = normal == nullptr ? nullptr : &normal->refreshed;
    const auto compute_into = [&](Results& results) {
        return [&] { return compute(model, arguments, results); };
    };
    const auto refresh = [&] {
        return !model.SetParameter(0, 0, cutoff) && !model.ClearThenRefresh();
    };
    const auto write = [&] { return !model.WriteParameterizedModel("written", "TorchML_written"); };
    call("Compute", outcome, compute_into(outcome.first), [&] { return gives(first); }) &&
        call("Refresh", outcome, refresh, [&] { return gives(first); }) &&
        call("Compute", outcome, compute_into(outcome.refreshed),
             [&] { return gives(refreshed); }) &&
        call("WriteParameterizedModel", outcome, write, [&] { return gives(refreshed); });
    // A file that could not be opened when the model was loaded is lost: KIM has removed it.
    if (log_text.find("could not be kept when the model was loaded") != std::string::npos) {
        outcome.failed_again = !gives(refreshed);
    }
}

/// `normal`: the model's results without faults; null: not known yet.
Outcome run(const std::string& name, double cutoff, const Outcome* normal = nullptr) {
    Outcome outcome;
    KIM::Model* model = nullptr;
    int accepted = 0;
    if (KIM::Model::Create(KIM::NUMBERING::zeroBased, KIM::LENGTH_UNIT::A, KIM::ENERGY_UNIT::eV,
                           KIM::CHARGE_UNIT::e, KIM::TEMPERATURE_UNIT::K, KIM::TIME_UNIT::ps, name,
                           &accepted, &model)) {
        outcome.failed = "Create";
        return outcome;
    }
    KIM::ComputeArguments* arguments = nullptr;
    if (model->ComputeArgumentsCreate(&arguments)) {
        outcome.failed = "ComputeArgumentsCreate";
    } else {
        use(*model, *arguments, cutoff, normal, outcome);
        if (model->ComputeArgumentsDestroy(&arguments)) outcome.failed = "ComputeArgumentsDestroy";
    }
    KIM::Model::Destroy(&model);
    return outcome;
}

[[noreturn]] void give_up(long number, const std::string& problem) {
    std::printf("fault %ld (%s): %s\n%s", number, faults::last().c_str(), problem.c_str(),
                log_text.c_str());
    std::exit(1);
}

/// Passes each mistake once; returns the number of mistakes.
int make_mistakes(const std::string& sound, const Outcome& reference, const std::string& model,
                  double cutoff, const Outcome& normal) {
    int number = 1;
    for (; number < static_cast<int>(Mistake::end); ++number) {
        log_text.clear();
        mistake = static_cast<Mistake>(number);
        const Outcome outcome = run(model, cutoff, &normal);
        mistake = Mistake::none;
        if (outcome.failed != "Compute") give_up(number, "the mistake goes unnoticed");
        if (log_text.find("TorchML: ") == std::string::npos) give_up(number, "no message");
        if (outcome.failed_again) give_up(number, "the model works no longer");
        if (!(run(sound, sound_cutoff) == reference))
            give_up(number, "the sound model gives something else");
    }
    return number - 1;
}

faults::Kind kind_of(const std::string& name) {
    if (name == "call") return faults::Kind::call;
    if (name == "memory") return faults::Kind::memory;
    if (name == "memory_end") return faults::Kind::memory_end;
    if (name == "file") return faults::Kind::file;
    if (name == "short_read") return faults::Kind::short_read;
    std::fprintf(stderr, "unknown kind of fault: %s\n", name.c_str());
    std::exit(2);
}

}  // namespace

int main(int n_arguments, char** values) {
    const std::vector<std::string> words(values, values + n_arguments);
    if (words.size() < 5) return 2;
    const bool mistakes = words[1] == "mistake";
    const faults::Kind kind = mistakes ? faults::Kind::call : kind_of(words[1]);
    const std::string &sound = words[2], &model = words[3];
    const double cutoff = std::stod(words[4]);
    const long stride = words.size() > 5 ? std::stol(words[5]) : 1;

    // LeakSanitizer ends the process before the C library writes its buffers.
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    log_text.reserve(longest_log);
    KIM::Log::PushDefaultPrintFunction(KIM::LANGUAGE_NAME::cpp,
                                       reinterpret_cast<KIM::Function*>(&log_entry));
    std::filesystem::create_directory("written");
    const Outcome reference = run(sound, sound_cutoff);
    if (!reference.failed.empty()) give_up(0, "the sound model fails in " + reference.failed);
    faults::watch_library("libkim-api-model-driver.so");
    const Outcome normal = run(model, cutoff);
    if (!normal.failed.empty()) give_up(0, "the model fails in " + normal.failed);
    if (mistakes) {
        std::printf("%d mistakes\n", make_mistakes(sound, reference, model, cutoff, normal));
        return 0;
    }
    // What the process allocates once exists by now, and does not count.
    faults::arm(kind, 0);
    run(model, cutoff);
    faults::disarm();
    const long n_before = faults::n_allocated();

    long n_faults = 0, n_failed = 0;
    for (long number = 1;; number += stride) {
        log_text.clear();
        faults::arm(kind, number);
        const Outcome outcome = run(model, cutoff, &normal);
        if (!faults::disarm()) break;
        ++n_faults;
        const bool failed = !outcome.failed.empty();
        n_failed += failed;
        const bool logged = log_text.find("TorchML: ") != std::string::npos;
        if (failed && !logged && kind != faults::Kind::memory_end) {
            give_up(number, outcome.failed + " fails without a message of the driver's");
        }
        if (!failed && !(outcome == normal)) give_up(number, "other results");
        if (outcome.failed_again) {
            give_up(number, "after a failed " + outcome.failed + " the model works no longer");
        }
        if (!failed && kind == faults::Kind::call) {
            give_up(number, "no routine reports it");
        }
        if (faults::n_allocated() != n_before) {
            give_up(number, std::to_string(faults::n_allocated() - n_before) +
                                " allocations of the driver's stayed behind");
        }
        if (!(run(sound, sound_cutoff) == reference))
            give_up(number, "the sound model gives something else");
    }
    std::printf("%ld faults, %ld failed routines\n", n_faults, n_failed);
    return n_faults == 0;
}
