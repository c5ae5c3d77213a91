// The failing functions are in the program itself: the driver's library, linked dynamically, finds
// them before the real ones.

#include "faults.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>
#include <KIM_ModelDriverHeaders.hpp>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>

namespace faults {

namespace {

struct Range {
    std::uintptr_t begin = 0, end = 0;
    bool holds(const void* address) const {
        const auto value = reinterpret_cast<std::uintptr_t>(address);
        return begin <= value && value < end;
    }
};

Range driver, standard_library;
std::atomic<bool> armed{false};
std::atomic<long> countdown{0};
std::atomic<long> allocated{0};
Kind armed_kind = Kind::call;
char what_failed[256] = "nothing";

Range range_of(const std::string& name) {
    struct Search {
        const std::string& name;
        Range found;
    } search{name, {}};
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* data) {
            auto& search = *static_cast<Search*>(data);
            if (std::string(info->dlpi_name).find(search.name) == std::string::npos) return 0;
            for (int k = 0; k < info->dlpi_phnum; ++k) {
                const auto& segment = info->dlpi_phdr[k];
                if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
                search.found.begin = info->dlpi_addr + segment.p_vaddr;
                search.found.end = search.found.begin + segment.p_memsz;
            }
            return 1;
        },
        &search);
    if (search.found.begin == 0) {
        std::fprintf(stderr, "the library %s is not loaded\n", name.c_str());
        std::abort();
    }
    return search.found;
}

/// Counts a call; returns whether it is the one that fails.
bool fails(Kind kind, const char* what) {
    if (!armed || armed_kind != kind) return false;
    const long left = --countdown;
    const bool failing = kind == Kind::memory_end ? left <= 0 : left == 0;
    if (left == 0) std::snprintf(what_failed, sizeof what_failed, "%s", what);
    return failing;
}

/// Whether the driver asks for memory, itself or through the C++ library (strings, streams).
bool from_driver(const void* caller) {
    if (driver.holds(caller)) return true;
    if (!standard_library.holds(caller)) return false;
    // Up the stack: this function, the C++ library, and its caller.
    struct Walk {
        bool in_library = false, driver = false;
    } walk;
    _Unwind_Backtrace(
        [](_Unwind_Context* context, void* data) {
            auto& walk = *static_cast<Walk*>(data);
            const auto* address = reinterpret_cast<const void*>(_Unwind_GetIP(context));
            const bool in_library = standard_library.holds(address);
            if (in_library || !walk.in_library) {
                walk.in_library |= in_library;
                return _URC_NO_REASON;
            }
            walk.driver = driver.holds(address);
            return _URC_END_OF_STACK;
        },
        &walk);
    return walk.driver;
}

// In front of each block: whether the driver requested it.
constexpr std::size_t header = 16;
constexpr std::size_t drivers = 0x6d72687263746f74;

bool allocation_fails(const void* caller) {
    if (!armed || !from_driver(caller)) return false;
    return fails(Kind::memory, "an allocation") || fails(Kind::memory_end, "all allocations");
}

void* allocate(std::size_t size, const void* caller) {
    const bool counts = armed && from_driver(caller);
    if (counts && allocation_fails(caller)) return nullptr;
    auto* block = static_cast<char*>(std::malloc(size + header));
    if (block == nullptr) return nullptr;
    const std::size_t mark = counts ? drivers : 0;
    std::memcpy(block, &mark, sizeof mark);
    if (counts) ++allocated;
    return block + header;
}

void release(void* pointer) {
    if (pointer == nullptr) return;
    char* block = static_cast<char*>(pointer) - header;
    std::size_t mark = 0;
    std::memcpy(&mark, block, sizeof mark);
    if (mark == drivers) --allocated;
    std::free(block);
}

/// The real function that this program's own hides.
template <class Function>
Function* real(const char* name) {
    void* found = dlsym(RTLD_NEXT, name);
    if (found == nullptr) {
        std::fprintf(stderr, "there is no %s behind this one\n", name);
        std::abort();
    }
    return reinterpret_cast<Function*>(found);
}

/// The model's files, which are open for reading.
std::mutex files_mutex;
bool is_model_file[1024] = {};

bool names_model_file(const char* path) {
    const std::string name = path;
    const auto ends = [&](const std::string& end) {
        return name.size() > end.size() &&
               name.compare(name.size() - end.size(), end.size(), end) == 0;
    };
    return ends(".param") || ends(".pt") || ends(".pt2") || ends(".dat");
}

void remember(int file, const char* path) {
    if (file < 0 || file >= 1024) return;
    const std::lock_guard<std::mutex> lock(files_mutex);
    is_model_file[file] = names_model_file(path);
}

bool of_model(int file) {
    const std::lock_guard<std::mutex> lock(files_mutex);
    return file >= 0 && file < 1024 && is_model_file[file];
}

bool open_fails(const char* path, bool for_reading) {
    if (!armed || !for_reading || !names_model_file(path) || !fails(Kind::file, "opening a file")) {
        return false;
    }
    errno = EIO;
    return true;
}

bool read_fails(int file) {
    if (!armed || !of_model(file) || !fails(Kind::file, "reading a file")) return false;
    errno = EIO;
    return true;
}

std::size_t read_size(int file, std::size_t size) {
    if (!armed || size < 2 || !of_model(file) || !fails(Kind::short_read, "reading all at once")) {
        return size;
    }
    return size / 2;
}

}  // namespace

void watch_library(const std::string& name) {
    driver = range_of(name);
    standard_library = range_of("libstdc++.so");
}

void arm(Kind kind, long number) {
    std::snprintf(what_failed, sizeof what_failed, "nothing");
    armed_kind = kind;
    countdown = number == 0 ? std::numeric_limits<long>::max() : number;
    armed = true;
}

bool disarm() {
    armed = false;
    return std::strcmp(what_failed, "nothing") != 0;
}

std::string last() { return what_failed; }

long n_allocated() { return allocated; }

}  // namespace faults

// Memory.

void* operator new(std::size_t size) {
    if (void* block = faults::allocate(size, __builtin_return_address(0))) return block;
    throw std::bad_alloc();
}
void* operator new[](std::size_t size) {
    if (void* block = faults::allocate(size, __builtin_return_address(0))) return block;
    throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return faults::allocate(size, __builtin_return_address(0));
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return faults::allocate(size, __builtin_return_address(0));
}
void operator delete(void* pointer) noexcept { faults::release(pointer); }
void operator delete[](void* pointer) noexcept { faults::release(pointer); }
void operator delete(void* pointer, std::size_t) noexcept { faults::release(pointer); }
void operator delete[](void* pointer, std::size_t) noexcept { faults::release(pointer); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { faults::release(pointer); }
void operator delete[](void* pointer, const std::nothrow_t&) noexcept { faults::release(pointer); }

// What is moved by mremap needs new memory as well.
extern "C" {

void* mmap(void* place, std::size_t size, int protection, int flags, int file,
           off_t offset) noexcept {
    static auto* const next = faults::real<void*(void*, std::size_t, int, int, int, off_t)>("mmap");
    if (faults::allocation_fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return next(place, size, protection, flags, file, offset);
}

void* mremap(void* old, std::size_t size, std::size_t larger, int flags, ...) noexcept {
    static auto* const next =
        faults::real<void*(void*, std::size_t, std::size_t, int, ...)>("mremap");
    va_list rest;
    va_start(rest, flags);
    void* const place = (flags & MREMAP_FIXED) != 0 ? va_arg(rest, void*) : nullptr;
    va_end(rest);
    if (faults::allocation_fails(__builtin_return_address(0))) {
        munmap(place, larger);  // as the kernel does
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return next(old, size, larger, flags, place);
}

}  // extern "C"

// Files.

extern "C" {

FILE* fopen(const char* path, const char* mode) {
    static auto* const next = faults::real<FILE*(const char*, const char*)>("fopen");
    if (faults::open_fails(path, mode[0] == 'r')) return nullptr;
    FILE* file = next(path, mode);
    if (file != nullptr) faults::remember(fileno(file), path);
    return file;
}

FILE* fopen64(const char* path, const char* mode) { return fopen(path, mode); }

int open(const char* path, int flags, ...) {
    static auto* const next = faults::real<int(const char*, int, ...)>("open");
    va_list rest;
    va_start(rest, flags);
    const unsigned mode = va_arg(rest, unsigned);
    va_end(rest);
    if (faults::open_fails(path, (flags & O_ACCMODE) == O_RDONLY)) return -1;
    const int file = next(path, flags, mode);
    faults::remember(file, path);
    return file;
}

int open64(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const unsigned mode = va_arg(rest, unsigned);
    va_end(rest);
    return open(path, flags, mode);
}

ssize_t read(int file, void* buffer, std::size_t size) {
    static auto* const next = faults::real<ssize_t(int, void*, std::size_t)>("read");
    if (faults::read_fails(file)) return -1;
    return next(file, buffer, faults::read_size(file, size));
}

ssize_t pread64(int file, void* buffer, std::size_t size, off64_t offset) {
    static auto* const next = faults::real<ssize_t(int, void*, std::size_t, off64_t)>("pread64");
    if (faults::read_fails(file)) return -1;
    return next(file, buffer, faults::read_size(file, size), offset);
}

ssize_t pread(int file, void* buffer, std::size_t size, off_t offset) {
    return pread64(file, buffer, size, offset);
}

std::size_t fread(void* buffer, std::size_t size, std::size_t count, FILE* file) {
    static auto* const next =
        faults::real<std::size_t(void*, std::size_t, std::size_t, FILE*)>("fread");
    if (faults::read_fails(fileno(file))) return 0;
    return next(buffer, size, faults::read_size(fileno(file), count), file);
}

}  // extern "C"

// KIM-API: every routine that the driver calls and that reports failure.

#define FAILS(name) \
    (faults::driver.holds(__builtin_return_address(0)) && faults::fails(faults::Kind::call, name))

namespace KIM {

int ModelDriverCreate::GetParameterFileBasename(int const index,
                                                std::string const** const name) const {
    static auto* const next = faults::real<int(const ModelDriverCreate*, int, std::string const**)>(
        "_ZNK3KIM17ModelDriverCreate24GetParameterFileBasenameEiPPKNSt7__"
        "cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
    return FAILS("GetParameterFileBasename") ? 1 : next(this, index, name);
}

int ModelDriverCreate::SetUnits(LengthUnit const length, EnergyUnit const energy,
                                ChargeUnit const charge, TemperatureUnit const temperature,
                                TimeUnit const time) {
    static auto* const next = faults::real<int(ModelDriverCreate*, LengthUnit, EnergyUnit,
                                               ChargeUnit, TemperatureUnit, TimeUnit)>(
        "_ZN3KIM17ModelDriverCreate8SetUnitsENS_10LengthUnitENS_10EnergyUnitENS_10ChargeUnitENS_"
        "15TemperatureUnitENS_8TimeUnitE");
    return FAILS("SetUnits") ? 1 : next(this, length, energy, charge, temperature, time);
}

int ModelDriverCreate::SetModelNumbering(Numbering const numbering) {
    static auto* const next = faults::real<int(ModelDriverCreate*, Numbering)>(
        "_ZN3KIM17ModelDriverCreate17SetModelNumberingENS_9NumberingE");
    return FAILS("SetModelNumbering") ? 1 : next(this, numbering);
}

int ModelDriverCreate::SetSpeciesCode(SpeciesName const species, int const code) {
    static auto* const next = faults::real<int(ModelDriverCreate*, SpeciesName, int)>(
        "_ZN3KIM17ModelDriverCreate14SetSpeciesCodeENS_11SpeciesNameEi");
    return FAILS("SetSpeciesCode") ? 1 : next(this, species, code);
}

int ModelDriverCreate::SetRoutinePointer(ModelRoutineName const name, LanguageName const language,
                                         int const required, Function* const routine) {
    static auto* const next =
        faults::real<int(ModelDriverCreate*, ModelRoutineName, LanguageName, int, Function*)>(
            "_ZN3KIM17ModelDriverCreate17SetRoutinePointerENS_16ModelRoutineNameENS_"
            "12LanguageNameEiPFvvE");
    return FAILS("SetRoutinePointer") ? 1 : next(this, name, language, required, routine);
}

int ModelDriverCreate::SetParameterPointer(int const extent, double* const values,
                                           std::string const& name,
                                           std::string const& description) {
    static auto* const next =
        faults::real<int(ModelDriverCreate*, int, double*, std::string const&, std::string const&)>(
            "_ZN3KIM17ModelDriverCreate19SetParameterPointerEiPdRKNSt7__"
            "cxx1112basic_stringIcSt11char_traitsIcESaIcEEES9_");
    if (FAILS("SetParameterPointer")) return 1;
    return next(this, extent, values, name, description);
}

int ModelDriverCreate::ConvertUnit(LengthUnit const from_length, EnergyUnit const from_energy,
                                   ChargeUnit const from_charge,
                                   TemperatureUnit const from_temperature, TimeUnit const from_time,
                                   LengthUnit const to_length, EnergyUnit const to_energy,
                                   ChargeUnit const to_charge, TemperatureUnit const to_temperature,
                                   TimeUnit const to_time, double const length_power,
                                   double const energy_power, double const charge_power,
                                   double const temperature_power, double const time_power,
                                   double* const factor) {
    static auto* const next = faults::real<int(
        LengthUnit, EnergyUnit, ChargeUnit, TemperatureUnit, TimeUnit, LengthUnit, EnergyUnit,
        ChargeUnit, TemperatureUnit, TimeUnit, double, double, double, double, double, double*)>(
        "_ZN3KIM17ModelDriverCreate11ConvertUnitENS_10LengthUnitENS_10EnergyUnitENS_"
        "10ChargeUnitENS_"
        "15TemperatureUnitENS_8TimeUnitES1_S2_S3_S4_S5_dddddPd");
    if (FAILS("ConvertUnit")) return 1;
    return next(from_length, from_energy, from_charge, from_temperature, from_time, to_length,
                to_energy, to_charge, to_temperature, to_time, length_power, energy_power,
                charge_power, temperature_power, time_power, factor);
}

int ModelComputeArgumentsCreate::SetArgumentSupportStatus(ComputeArgumentName const name,
                                                          SupportStatus const status) {
    static auto* const next =
        faults::real<int(ModelComputeArgumentsCreate*, ComputeArgumentName, SupportStatus)>(
            "_ZN3KIM27ModelComputeArgumentsCreate24SetArgumentSupportStatusENS_"
            "19ComputeArgumentNameENS_13SupportStatusE");
    return FAILS("SetArgumentSupportStatus") ? 1 : next(this, name, status);
}

int ModelComputeArguments::GetArgumentPointer(ComputeArgumentName const name,
                                              int const** const pointer) const {
    static auto* const next =
        faults::real<int(const ModelComputeArguments*, ComputeArgumentName, int const**)>(
            "_ZNK3KIM21ModelComputeArguments18GetArgumentPointerENS_19ComputeArgumentNameEPPKi");
    return FAILS("GetArgumentPointer") ? 1 : next(this, name, pointer);
}

int ModelComputeArguments::GetArgumentPointer(ComputeArgumentName const name,
                                              double const** const pointer) const {
    static auto* const next =
        faults::real<int(const ModelComputeArguments*, ComputeArgumentName, double const**)>(
            "_ZNK3KIM21ModelComputeArguments18GetArgumentPointerENS_19ComputeArgumentNameEPPKd");
    return FAILS("GetArgumentPointer") ? 1 : next(this, name, pointer);
}

int ModelComputeArguments::GetArgumentPointer(ComputeArgumentName const name,
                                              double** const pointer) const {
    static auto* const next =
        faults::real<int(const ModelComputeArguments*, ComputeArgumentName, double**)>(
            "_ZNK3KIM21ModelComputeArguments18GetArgumentPointerENS_19ComputeArgumentNameEPPd");
    return FAILS("GetArgumentPointer") ? 1 : next(this, name, pointer);
}

int ModelComputeArguments::GetNeighborList(int const list, int const particle, int* const count,
                                           int const** const neighbours) const {
    static auto* const next =
        faults::real<int(const ModelComputeArguments*, int, int, int*, int const**)>(
            "_ZNK3KIM21ModelComputeArguments15GetNeighborListEiiPiPPKi");
    return FAILS("GetNeighborList") ? 1 : next(this, list, particle, count, neighbours);
}

}  // namespace KIM
