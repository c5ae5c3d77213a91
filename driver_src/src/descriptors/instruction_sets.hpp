#pragma once

namespace torchml {

/// Sets of vector instructions; each kernel is compiled once for each of them.
enum class InstructionSet { baseline, avx2, avx512 };

/// The widest set that this build includes and this CPU and its system support. The environment
/// variable TORCHML_INSTRUCTION_SET (`baseline`, `avx2`, `avx512`) selects a narrower one.
InstructionSet instruction_set();

}  // namespace torchml
