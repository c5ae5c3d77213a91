#include "descriptors/backend.hpp"

#include <cstdlib>

#include "descriptors/libdescriptor.hpp"
#include "engine/error.hpp"

namespace torchml {

DescriptorBackend descriptor_backend(const std::string& name, const std::string& source) {
    if (name == "native") return DescriptorBackend::native;
    if (name == "libdescriptor") return DescriptorBackend::libdescriptor;
    fail(source, " is '", name,
         "'; it can be 'native' (the driver's own descriptors, the default) or 'libdescriptor' "
         "(the library of that name).");
}

DescriptorBackend descriptor_backend() {
    const char* value = std::getenv("KIM_MODEL_DESCRIPTOR_BACKEND");
    if (value == nullptr || *value == '\0') return DescriptorBackend::native;
    return descriptor_backend(value, "the environment variable KIM_MODEL_DESCRIPTOR_BACKEND");
}

std::unique_ptr<Descriptor> make_descriptor(const DescriptorSettings& settings,
                                            DescriptorBackend backend) {
    return backend == DescriptorBackend::native ? make_descriptor(settings)
                                                : make_libdescriptor(settings);
}

}  // namespace torchml
