// Stops kernels that touch what they may not, where the processor notices.
#pragma once

#include "../table.hpp"

namespace driver {

// How a launch ended.
struct Ending {
    // What the kernel did wrong (in static storage), or null.
    const char *fault;
    // Whether it was stopped at an address, and at which.
    bool stopped;
    const void *address;
};

// From here on the process's faults are examined; those that no kernel made go where they went before.
void examine_faults();

// Runs a launch to its end, or to its first access to memory that cannot be touched.
Ending run_guarded(const char *(*run)(const emulator::Launch &), const emulator::Launch &launch);

}  // namespace driver
