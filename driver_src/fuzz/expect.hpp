#pragma once

#include <cstdio>
#include <cstdlib>

namespace torchml::fuzz {

/// Ends the program if `holds` is false, so that libFuzzer keeps the input.
inline void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "expected: %s\n", what);
    std::abort();
}

}  // namespace torchml::fuzz
