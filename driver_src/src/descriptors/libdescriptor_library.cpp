#include "descriptors/libdescriptor_library.hpp"

#include <dlfcn.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <system_error>

#include "base/error.hpp"
#include "base/variables.hpp"

// The path that the build found; empty without one.
#ifndef TORCHML_LIBDESCRIPTOR_LIBRARY
#define TORCHML_LIBDESCRIPTOR_LIBRARY ""
#endif

namespace torchml::libdescriptor {

namespace {

constexpr const char* advice =
    " Install libdescriptor with `torchml-install deps --with libdescriptor` and set "
    "LIBDESCRIPTOR_ROOT to the folder that it prints, or unset KIM_MODEL_DESCRIPTOR_BACKEND to use "
    "the driver's own descriptors.";

/// lib/libdescriptor.so of an installation; empty if it has none.
std::string library_in(const std::string& root) {
    for (const char* folder : {"lib", "lib64", "."}) {
        const std::filesystem::path path =
            std::filesystem::path(root) / folder / "libdescriptor.so";
        std::error_code ignored;
        if (std::filesystem::exists(path, ignored)) return path.string();
    }
    return "";
}

/// One opened library.
class Opened {
  public:
    Opened(void* handle, const std::string& path) : handle_(handle), path_(path) {}

    template <class Function>
    void find(Function*& function, const char* name) const {
        function = reinterpret_cast<Function*>(symbol(name));
    }

    /// Compares the declaration of DescriptorKind in libdescriptor_library.hpp with the library's
    /// table of virtual functions: the first two entries are not functions, then come compute,
    /// which is pure, and the destructors.
    void require_declared_layout() const {
        auto* const* table =
            static_cast<void* const*>(symbol("_ZTVN10Descriptor14DescriptorKindE"));
        if (table[3] != symbol("_ZN10Descriptor14DescriptorKindD1Ev") ||
            table[4] != symbol("_ZN10Descriptor14DescriptorKindD0Ev")) {
            fail(path_,
                 " is not compatible with libdescriptor 0.2.3: its class DescriptorKind has "
                 "different virtual functions.",
                 advice);
        }
    }

  private:
    void* symbol(const char* name) const {
        void* found = dlsym(handle_, name);
        if (found == nullptr) {
            fail(path_, " is not compatible with libdescriptor 0.2.3: it lacks ", name, ".",
                 advice);
        }
        return found;
    }

    void* handle_;
    const std::string& path_;
};

Functions open(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char* problem = dlerror();
        fail("libdescriptor cannot be opened (", problem != nullptr ? problem : "no reason given",
             ").", advice);
    }
    const Opened library(handle, path);
    library.require_declared_layout();
    Functions found{};
#define STRING "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
#define INIT "_ZN10Descriptor14DescriptorKind14initDescriptorENS_19AvailableDescriptorE"
    library.find(found.make_symmetry_functions,
                 INIT "PSt6vectorI" STRING "SaIS8_EEPS8_PdSB_PS2_IiSaIiEEPS2_IdSaIdEE");
    library.find(found.make_bispectrum, INIT "diiidiiPdPSt6vectorI" STRING "SaIS9_EEPS3_IdSaIdEE");
    library.find(found.make_soap, INIT "iidRSt6vectorI" STRING "SaIS8_EES8_d");
#undef INIT
#undef STRING
    library.find(found.set_symmetry_cutoffs, "_ZN17SymmetryFunctions10set_cutoffEPKcmPKd");
    library.find(found.set_bispectrum_cutoffs, "_ZN10Bispectrum10set_cutoffEPKcmPKd");
    library.find(found.compute,
                 "_ZN10Descriptor19compute_single_atomEiiPiS0_iPdS1_PNS_14DescriptorKindE");
    library.find(found.gradient,
                 "_ZN10Descriptor20gradient_single_atomEiiPiS0_iPdS1_S1_S1_PNS_14DescriptorKindE");
    return found;
}

}  // namespace

std::string library_path() {
    if (const auto root = variable(process_environment(), "LIBDESCRIPTOR_ROOT")) {
        const std::string path = library_in(*root);
        if (path.empty()) {
            fail("the environment variable LIBDESCRIPTOR_ROOT is ", *root,
                 ", which has no lib/libdescriptor.so.", advice);
        }
        return path;
    }
    const std::string built_for = TORCHML_LIBDESCRIPTOR_LIBRARY;
    if (built_for.empty()) {
        fail(
            "KIM_MODEL_DESCRIPTOR_BACKEND is 'libdescriptor', but this driver was built without it "
            "and LIBDESCRIPTOR_ROOT is not set.",
            advice);
    }
    std::error_code ignored;
    if (!std::filesystem::exists(built_for, ignored)) {
        fail("this driver was built with ", built_for, ", which no longer exists.", advice);
    }
    return built_for;
}

const Functions& functions() {
    static std::mutex one_at_a_time;
    static std::map<std::string, Functions> opened;
    const std::string path = library_path();
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    const auto known = opened.find(path);
    return known != opened.end() ? known->second : opened.emplace(path, open(path)).first->second;
}

}  // namespace torchml::libdescriptor
