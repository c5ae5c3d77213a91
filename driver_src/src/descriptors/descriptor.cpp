#include "descriptors/descriptor.hpp"

#include "base/error.hpp"
#include "descriptors/bispectrum.hpp"
#include "descriptors/soap.hpp"
#include "descriptors/symmetry_functions.hpp"

namespace torchml {

namespace {

/// Chooses the implementation by the kind of settings.
struct Make {
    std::unique_ptr<Descriptor> operator()(const SymmetryFunctionSettings& settings) const {
        return make_symmetry_functions(settings);
    }
    std::unique_ptr<Descriptor> operator()(const BispectrumSettings& settings) const {
        return make_bispectrum(settings);
    }
    std::unique_ptr<Descriptor> operator()(const SoapSettings& settings) const {
        return make_soap(settings);
    }
};

}  // namespace

std::unique_ptr<Descriptor> make_descriptor(const DescriptorSettings& settings) {
    return std::visit(Make{}, settings);
}

}  // namespace torchml
