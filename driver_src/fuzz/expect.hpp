#pragma once

#include <cstdio>
#include <cstdlib>

namespace torchml::fuzz {

/// Ends the program, for libFuzzer to keep the input, if `holds` does not.
inline void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "expected: %s\n", what);
    std::abort();
}

}  // namespace torchml::fuzz
