#include "descriptors/instruction_sets.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "engine/error.hpp"

namespace torchml {
namespace {

InstructionSet widest() {
#if defined(TORCHML_X86_KERNELS)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return InstructionSet::avx512;
    }
    if (avx2) return InstructionSet::avx2;
#endif
    return InstructionSet::baseline;
}

}  // namespace

InstructionSet instruction_set() {
    static const InstructionSet supported = widest();
    const char* variable = std::getenv("TORCHML_INSTRUCTION_SET");
    const std::string name = variable == nullptr ? "" : variable;
    if (name.empty()) return supported;
    if (name == "baseline") return InstructionSet::baseline;
    if (name == "avx2") return std::min(supported, InstructionSet::avx2);
    if (name == "avx512") return std::min(supported, InstructionSet::avx512);
    fail("TORCHML_INSTRUCTION_SET is '", name, "'; it can be baseline, avx2 or avx512");
}

}  // namespace torchml
