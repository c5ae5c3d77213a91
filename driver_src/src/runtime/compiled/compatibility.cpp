#include "runtime/compiled/compatibility.hpp"

#include <dlfcn.h>
#include <sys/utsname.h>

#include <fstream>
#include <vector>

#include "base/error.hpp"
#include "base/joined.hpp"
#include "base/text_stream.hpp"
#include "runtime/libtorch.hpp"

namespace torchml {

namespace {

/// The CPU's features, as the Linux kernel names them; empty if it lists none.
std::set<std::string> instructions() {
    std::ifstream file("/proc/cpuinfo");
    std::string line;
    while (std::getline(file, line)) {
        TextStream words(line);
        std::string key, word;
        words >> key;
        if (key != "flags" && key != "Features") continue;
        std::set<std::string> found;
        while (words >> word) found.insert(word);
        return found;
    }
    return {};
}

/// The compute capability of a CUDA device, such as "9.0"; "" if unknown. Comes from CUDA's own
/// driver, which is loaded when torch uses a GPU.
std::string capability_of(c10::Device device) {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (driver == nullptr) return "";
    using GetAttribute = int (*)(int*, int, int);
    const auto get = reinterpret_cast<GetAttribute>(dlsym(driver, "cuDeviceGetAttribute"));
    constexpr int attribute_major = 75,
                  attribute_minor = 76;  // of the enumeration CUdevice_attribute
    int major = 0, minor = 0;
    const bool known = get != nullptr && get(&major, attribute_major, device.index()) == 0 &&
                       get(&minor, attribute_minor, device.index()) == 0;
    dlclose(driver);
    return known ? std::to_string(major) + "." + std::to_string(minor) : "";
}

/// GPU code runs on GPUs of the same major capability, from its own minor capability on.
bool runs_on(const std::string& compiled, const std::string& present) {
    int major[2] = {}, minor[2] = {};
    char dot = 0;
    TextStream(compiled) >> major[0] >> dot >> minor[0];
    TextStream(present) >> major[1] >> dot >> minor[1];
    return major[0] == major[1] && minor[0] <= minor[1];
}

void require_cpu(const std::string& name, const PackageDescription& description,
                 const Machine& machine) {
    if (!machine.processor.empty() && !description.machine.empty() &&
        description.machine != machine.processor) {
        fail<ErrorHere>("the model in ", name, " was compiled for ", description.machine,
                        " CPUs; this machine has ", machine.processor,
                        ". Compile it here with `torchml-install model compile`.");
    }
    if (machine.instructions.empty()) return;
    std::vector<std::string> missing;
    for (const std::string& needed : description.instructions) {
        if (machine.instructions.count(needed) == 0) missing.push_back(needed);
    }
    if (missing.empty()) return;
    fail<ErrorHere>(
        "the model in ", name,
        " was compiled for CPUs with instructions that this one lacks: ", joined(missing),
        ". Compile it on this machine, or anywhere with `torchml-install model compile --cpu "
        "x86-64-v3` (without AVX-512) or `--cpu x86-64` (for all).");
}

}  // namespace

Machine this_machine(c10::Device device) {
    Machine machine;
    machine.torch = torch_version();
    machine.device = c10::DeviceTypeName(device.type(), /*lower_case=*/true);
    utsname system{};
    if (uname(&system) == 0) machine.processor = system.machine;
    machine.instructions = instructions();
    if (device.is_cuda()) machine.capability = capability_of(device);
    return machine;
}

void require_compatible(const std::string& name, const PackageDescription& description,
                        const Machine& machine) {
    if (series(description.torch) != series(machine.torch)) {
        fail<ErrorHere>(
            "the model in ", name, " was compiled for torch ", series(description.torch),
            ", but this process runs torch ", machine.torch,
            ". Compile it with this torch: `torchml-install model compile`; or build the driver "
            "for that one.");
    }
    if (description.device != machine.device) {
        fail<ErrorHere>("the model in ", name, " was compiled for the device ", description.device,
                        ", but would run on ", machine.device,
                        ". Set KIM_MODEL_EXECUTION_DEVICE=", description.device,
                        ", or compile it with `torchml-install model compile --device ",
                        machine.device, "`.");
    }
    require_cpu(name, description, machine);
    if (description.capability.empty() || machine.capability.empty()) return;
    if (!runs_on(description.capability, machine.capability)) {
        fail<ErrorHere>(
            "the model in ", name, " was compiled for GPUs of compute capability ",
            description.capability, "; this GPU has ", machine.capability,
            ". Compile it on a machine with such a GPU: `torchml-install model compile --device ",
            machine.device, "`.");
    }
}

}  // namespace torchml
