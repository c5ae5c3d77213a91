// Makes things fail once in this process: calls, allocations and reads that come from the model
// driver's library, counted from 1.

#pragma once

#include <string>

namespace faults {

enum class Kind {
    call,        // a call of KIM-API reports failure
    memory,      // an allocation fails, the next ones do not
    memory_end,  // an allocation fails, and all those after it
    file,        // opening or reading a file of the model fails
    short_read,  // a read of a model's file returns less than requested; the next one continues
};

/// Sets the library whose calls and allocations count; its path contains `name`. It must be loaded.
void watch_library(const std::string& name);

/// Makes the fault number `number` happen from now on; 0: none.
void arm(Kind kind, long number);

/// Ends that; returns whether the fault has happened.
bool disarm();

/// What failed last, for messages.
std::string last();

/// Allocations by the driver that were not freed.
long n_allocated();

}  // namespace faults
