// A KIM simulator with unusual settings of its process, which it checks for changes after each
// routine of a model:
//
//   host MODEL CUTOFF [main|thread|plain]
//
// creates MODEL, computes, gives it another cutoff (CUTOFF, in A; or its own again), computes once
// more, and destroys it; then all of that a second time. "thread": not on the main thread; "plain":
// with the default settings of a process. Prints a line for each thing that a routine changed,
// "Compute: OpenMP threads: 5 -> 2", then the energies of the computations. Returns 0 if nothing
// changed.

#include <fcntl.h>
#include <fenv.h>
#include <omp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <xmmintrin.h>
#include <KIM_Log.hpp>
#include <KIM_SimulatorHeaders.hpp>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <locale>
#include <map>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace {

using State = std::map<std::string, std::string>;

template <class Value>
std::string text(const Value& value) {
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    stream << value;
    return stream.str();
}

std::string bytes(const void* data, std::size_t size) {
    std::string hex;
    for (std::size_t k = 0; k < size; ++k) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", static_cast<const unsigned char*>(data)[k]);
        hex += two;
    }
    return hex;
}

/// The state of the C library's random(), which changes when a number is drawn.
char random_state[128];

std::string random_numbers() {
    unsigned short any[3] = {};
    const unsigned short* current = seed48(any);  // the state of drand48(), put back at once
    unsigned short drawn[3] = {current[0], current[1], current[2]};
    seed48(drawn);
    return bytes(random_state, sizeof random_state) + " " + bytes(drawn, sizeof drawn);
}

void signals(State& state) {
    for (int number = 1; number < NSIG; ++number) {
        struct sigaction action = {};
        if (sigaction(number, nullptr, &action) != 0) continue;
        state["handler of signal " + text(number)] =
            text(reinterpret_cast<void*>(action.sa_handler)) + " " + text(action.sa_flags);
    }
    sigset_t mask;
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    std::string blocked;
    for (int number = 1; number < NSIG; ++number) blocked += sigismember(&mask, number) ? '1' : '0';
    state["signal mask"] = blocked;
    stack_t stack = {};
    sigaltstack(nullptr, &stack);
    state["stack of signal handlers"] = text(stack.ss_sp) + " " + text(stack.ss_flags);
}

void floating_point(State& state) {
    fenv_t environment;
    fegetenv(&environment);
    state["floating-point environment"] = bytes(&environment, sizeof environment);
    state["floating-point traps"] = text(fegetexcept());
    state["rounding"] = text(fegetround());
    state["MXCSR"] = text(_mm_getcsr());
}

void open_mp(State& state) {
    state["OpenMP threads"] = text(omp_get_max_threads());
    state["OpenMP dynamic"] = text(omp_get_dynamic());
    state["OpenMP levels"] = text(omp_get_max_active_levels());
    omp_sched_t kind;
    int chunk = 0;
    omp_get_schedule(&kind, &chunk);
    state["OpenMP schedule"] = text(kind) + " " + text(chunk);
    int team = 0;
#pragma omp parallel
#pragma omp atomic
    ++team;
    state["OpenMP team"] = text(team);
}

void process(State& state) {
    char folder[4096] = {};
    state["current directory"] = getcwd(folder, sizeof folder) != nullptr ? folder : "?";
    std::vector<std::string> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) {
        variables.emplace_back(*variable);
    }
    std::sort(variables.begin(), variables.end());
    for (const std::string& variable : variables) state["environment"] += variable + "\n";
    const mode_t mask = umask(0);
    umask(mask);
    state["umask"] = text(mask);
    for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
        rlimit limit{};
        getrlimit(static_cast<__rlimit_resource>(resource), &limit);
        state["resource limit " + text(resource)] =
            text(limit.rlim_cur) + " " + text(limit.rlim_max);
    }
    cpu_set_t cores;
    CPU_ZERO(&cores);
    sched_getaffinity(0, sizeof cores, &cores);
    state["cores"] = bytes(&cores, sizeof cores);
    state["scheduler"] = text(sched_getscheduler(0)) + " " + text(getpriority(PRIO_PROCESS, 0));
    char name[32] = {};
    prctl(PR_GET_NAME, name);
    state["thread's name"] = name;
    state["dumpable"] = text(prctl(PR_GET_DUMPABLE));
    state["huge pages off"] = text(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    state["timer slack"] = text(prctl(PR_GET_TIMERSLACK));
    itimerval timer{};
    getitimer(ITIMER_REAL, &timer);
    state["timer"] = text(timer.it_interval.tv_sec);
    for (const int stream : {0, 1, 2}) {
        state["flags of stream " + text(stream)] = text(fcntl(stream, F_GETFL));
    }
}

void language(State& state) {
    state["C locale"] = std::setlocale(LC_ALL, nullptr);
    state["C++ locale"] = std::locale().name();
    state["terminate handler"] = text(reinterpret_cast<void*>(std::get_terminate()));
    state["new handler"] = text(reinterpret_cast<void*>(std::get_new_handler()));
    state["std::cout"] = text(std::cout.flags()) + " " + text(std::cout.precision()) + " " +
                         std::cout.getloc().name();
    state["random numbers"] = random_numbers();
}

/// All state of the process and of this thread that belongs to the host.
State look() {
    State state;
    floating_point(state);  // first: what follows computes, too
    signals(state);
    open_mp(state);
    process(state);
    language(state);
    return state;
}

int n_changes = 0;

void compare(const char* routine, const State& before, const State& after) {
    for (const auto& [name, value] : after) {
        const auto known = before.find(name);
        if (known != before.end() && known->second == value) continue;
        ++n_changes;
        std::printf("%s: %s: %s -> %s\n", routine, name.c_str(),
                    known == before.end() ? "" : known->second.c_str(), value.c_str());
    }
}

void own_handler(int) {}

/// Sets everything to values that differ from a process's defaults.
void set_up() {
    initstate(7, random_state, sizeof random_state);
    srand48(7);
    for (const int number : {SIGINT, SIGTERM, SIGSEGV, SIGUSR1}) signal(number, &own_handler);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, nullptr);
    std::set_terminate([] { _exit(3); });
    std::set_new_handler([] { throw std::bad_alloc(); });
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "C.UTF-8"}) {
        if (std::setlocale(LC_ALL, name) == nullptr) continue;
        std::locale::global(std::locale(name));
        break;
    }
    std::cout << std::hex << std::scientific;
    std::cout.precision(3);
    umask(027);
}

/// Sets how a thread computes.
void set_up_thread() {
    omp_set_num_threads(5);
    omp_set_max_active_levels(2);
    omp_set_schedule(omp_sched_dynamic, 7);
    fesetround(FE_UPWARD);
    feclearexcept(FE_ALL_EXCEPT);
    // As a program does to find its first wrong number.
    feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
    _mm_setcsr(_mm_getcsr() | 0x8000);  // results that are not normal numbers become zero
}

int neighbours_of(void*, int, const double*, int, int particle, int* count,
                  const int** neighbours) {
    static const int first[] = {1, 2}, second[] = {0, 2}, third[] = {0, 1};
    static const int* const rows[] = {first, second, third};
    *count = 2;
    *neighbours = rows[particle];
    return 0;
}

[[noreturn]] void give_up(const char* what) {
    std::printf("%s failed\n", what);
    std::fflush(stdout);
    _exit(1);
}

template <class Routine>
void watch(const char* name, const Routine& routine) {
    const State before = look();
    if (routine()) give_up(name);
    compare(name, before, look());
}

void compute(KIM::Model& model, KIM::ComputeArguments& arguments) {
    using namespace KIM::COMPUTE_ARGUMENT_NAME;
    static const int n = 3, contributing[] = {1, 1, 1};
    static const double coordinates_of[] = {0.0, 0.0, 0.0, 2.2, 0.3, 0.1, 1.1, 2.0, 0.4};
    int supported = 0, code = 0;
    if (model.GetSpeciesSupportAndCode(KIM::SPECIES_NAME::Si, &supported, &code)) {
        give_up("the species");
    }
    const int species[] = {code, code, code};
    double energy = 0.0, forces[9] = {};
    if (arguments.SetArgumentPointer(numberOfParticles, &n) ||
        arguments.SetArgumentPointer(particleSpeciesCodes, species) ||
        arguments.SetArgumentPointer(particleContributing, contributing) ||
        arguments.SetArgumentPointer(coordinates, coordinates_of) ||
        arguments.SetArgumentPointer(partialEnergy, &energy) ||
        arguments.SetArgumentPointer(partialForces, forces) ||
        arguments.SetCallbackPointer(KIM::COMPUTE_CALLBACK_NAME::GetNeighborList,
                                     KIM::LANGUAGE_NAME::cpp,
                                     reinterpret_cast<KIM::Function*>(&neighbours_of), nullptr)) {
        give_up("an argument");
    }
    watch("Compute", [&] { return model.Compute(&arguments); });
    std::printf("energy %s\n", bytes(&energy, sizeof energy).c_str());
}

void use(const std::string& name, double cutoff) {
    KIM::Model* model = nullptr;
    KIM::ComputeArguments* arguments = nullptr;
    watch("Create", [&] {
        int accepted = 0;
        return KIM::Model::Create(KIM::NUMBERING::zeroBased, KIM::LENGTH_UNIT::A,
                                  KIM::ENERGY_UNIT::eV, KIM::CHARGE_UNIT::e,
                                  KIM::TEMPERATURE_UNIT::K, KIM::TIME_UNIT::ps, name, &accepted,
                                  &model) ||
               !accepted;
    });
    watch("ComputeArgumentsCreate", [&] { return model->ComputeArgumentsCreate(&arguments); });
    compute(*model, *arguments);
    watch("Refresh",
          [&] { return model->SetParameter(0, 0, cutoff) || model->ClearThenRefresh(); });
    compute(*model, *arguments);
    watch("ComputeArgumentsDestroy", [&] { return model->ComputeArgumentsDestroy(&arguments); });
    watch("Destroy", [&] {
        KIM::Model::Destroy(&model);
        return 0;
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    KIM::Log::PushDefaultVerbosity(KIM::LOG_VERBOSITY::error);
    const double cutoff = std::atof(argv[2]);
    const std::string how = argc > 3 ? argv[3] : "main";
    if (how != "plain") set_up();
    const auto twice = [&] {
        if (how != "plain") set_up_thread();
        _mm_setcsr(_mm_getcsr() | _MM_EXCEPT_INEXACT);  // as after nearly any computation
        for (int time = 0; time < 2; ++time) use(argv[1], cutoff);
    };
    if (how == "thread") {
        std::thread(twice).join();
    } else {
        twice();
    }
    return n_changes == 0 ? 0 : 1;
}
