#include "descriptors/backend.hpp"

#include "base/variables.hpp"
#include "descriptors/libdescriptor.hpp"

namespace torchml {

DescriptorBackend descriptor_backend() {
    const auto chosen = choose_variable(process_environment(), "KIM_MODEL_DESCRIPTOR_BACKEND",
                                        {{"native", "the default: the driver's own descriptors"},
                                         {"libdescriptor", "the library of that name"}});
    return chosen == 0 ? DescriptorBackend::native : DescriptorBackend::libdescriptor;
}

std::unique_ptr<Descriptor> make_descriptor(const DescriptorSettings& settings,
                                            DescriptorBackend backend) {
    return backend == DescriptorBackend::native ? make_descriptor(settings)
                                                : make_libdescriptor(settings);
}

}  // namespace torchml
