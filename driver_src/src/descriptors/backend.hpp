#pragma once

#include <memory>
#include <string>

#include "descriptors/descriptor.hpp"

namespace torchml {

/// The code that computes descriptors.
enum class DescriptorBackend {
    native,         ///< the driver's own
    libdescriptor,  ///< the shared library of that name, opened at run time
};

/// The value of the environment variable KIM_MODEL_DESCRIPTOR_BACKEND; unset or empty: native.
/// Throws Error for anything else.
DescriptorBackend descriptor_backend();

/// The descriptor that the settings describe, computed by the backend. Throws Error for settings
/// that are invalid or that the backend cannot compute, and if the backend cannot be used.
std::unique_ptr<Descriptor> make_descriptor(const DescriptorSettings& settings,
                                            DescriptorBackend backend);

}  // namespace torchml
