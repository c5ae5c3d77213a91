#include "runtime/torch_devices.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>

#include <atomic>
#include <filesystem>
#include <system_error>

#include "base/error.hpp"
#include "runtime/libtorch.hpp"
#include "runtime/messages.hpp"

namespace torchml {

namespace {

/// Whether a model has used the CPU; torch has then determined which kinds of device there are.
std::atomic<bool> torch_is_set_up{false};

c10::DeviceType device_type(const std::string& type) {
    if (type == "cuda") return c10::DeviceType::CUDA;
    if (type == "mps") return c10::DeviceType::MPS;
    if (type == "xpu") return c10::DeviceType::XPU;
    return c10::DeviceType::CPU;
}

/// Opens torch's library for a type of device. Returns why it cannot, or "".
std::string open_library(const std::string& type) {
    const std::string name = "libtorch_" + type + ".so";
    const auto file = torch_folder() / name;
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) {
        return "this torch was built without support for it (there is no " + file.string() + ")";
    }
    if (torch_is_set_up) {
        return "a model on the CPU was loaded before, and torch looks for devices only once; load "
               "this model first, or import torch before any model";
    }
    if (dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
        const char* message = dlerror();
        return "torch's library for it cannot be opened (" +
               std::string(message != nullptr ? message : file.string()) + ")";
    }
    return "";
}

/// Torch's message when it uses a device; "" if the device works.
std::string complaint(c10::Device device) {
    try {
        at::empty({1}, at::TensorOptions().device(device));
        return "";
    } catch (const std::exception& problem) {
        std::string text = essence(problem);
        while (!text.empty() && text.back() == '.') text.pop_back();
        return text;
    }
}

}  // namespace

DeviceCount count_devices(const std::string& type) {
    const c10::DeviceType kind = device_type(type);
    if (!c10::impl::hasDeviceGuardImpl(kind)) {
        std::string problem = open_library(type);
        if (!problem.empty()) return {0, problem};
    }
    if (!c10::impl::hasDeviceGuardImpl(kind))
        return {0, "this torch was built without support for it"};
    const int count = c10::impl::getDeviceGuardImpl(kind)->deviceCount();
    return {count, count == 0 ? complaint({kind, 0}) : ""};
}

c10::Device execution_device(const std::optional<std::string>& wanted) {
    const Environment environment = process_environment();
    const char* variable = "KIM_MODEL_EXECUTION_DEVICE";
    const Device chosen =
        choose_device(wanted ? wanted : environment(variable),
                      wanted ? "the device" : std::string("the environment variable ") + variable,
                      process_launcher(), environment, &count_devices);
    if (chosen.type == "cpu") {
        torch_is_set_up = true;
        return {c10::DeviceType::CPU};
    }
    const c10::Device device(device_type(chosen.type), static_cast<c10::DeviceIndex>(chosen.index));
    const std::string problem = complaint(device);
    if (!problem.empty()) {
        fail("the device ", chosen.name(), " does not work: ", problem,
             ". Check that it is free and that its driver suits this torch, or use 'cpu'.");
    }
    return device;
}

}  // namespace torchml
