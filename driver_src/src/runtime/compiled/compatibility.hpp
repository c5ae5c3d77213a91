#pragma once

#include <c10/core/Device.h>

#include <set>
#include <string>

#include "runtime/compiled/package.hpp"

namespace torchml {

/// The machine on which a package should run.
struct Machine {
    std::string torch;                   ///< version of the torch in this process
    std::string device;                  ///< the device's type, such as cpu
    std::string processor;               ///< as `uname -m` prints it; "" if unknown
    std::set<std::string> instructions;  ///< flags of /proc/cpuinfo; empty if unknown
    std::string capability;              ///< of the GPU, such as "9.0"; "" if unknown
};

/// This process's machine, with a device.
Machine this_machine(c10::Device device);

/// Throws Error unless a package was compiled for such a machine. `name`: the package's, for
/// messages.
void require_compatible(const std::string& name, const PackageDescription& description,
                        const Machine& machine);

}  // namespace torchml
