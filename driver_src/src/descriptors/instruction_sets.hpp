#pragma once

namespace torchml {

/// The processors' vector instructions that kernels are compiled for, each kernel once for each.
enum class InstructionSet { baseline, avx2, avx512 };

/// The widest set that this build has and this processor and its system run. The environment
/// variable TORCHML_INSTRUCTION_SET (`baseline`, `avx2`, `avx512`) asks for a narrower one.
InstructionSet instruction_set();

}  // namespace torchml
