#include "descriptors/instruction_sets.hpp"

#include <algorithm>

#include "base/variables.hpp"

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
    constexpr InstructionSet sets[] = {InstructionSet::avx512, InstructionSet::avx2,
                                       InstructionSet::baseline};
    const auto chosen =
        choose_variable(process_environment(), "TORCHML_INSTRUCTION_SET",
                        {{"avx512", "the default; falls back to the widest set of this CPU"},
                         {"avx2", ""},
                         {"baseline", "for every CPU of this architecture"}});
    return std::min(supported, sets[chosen]);
}

}  // namespace torchml
