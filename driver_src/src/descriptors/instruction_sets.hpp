#pragma once

namespace torchml {

/// The CPU's vector instructions that kernels are compiled for, each kernel once for each set.
enum class InstructionSet { baseline, avx2, avx512 };

/// The widest set that this build has and this CPU and its system support. The environment
/// variable TORCHML_INSTRUCTION_SET (`baseline`, `avx2`, `avx512`) asks for a narrower one.
InstructionSet instruction_set();

}  // namespace torchml
