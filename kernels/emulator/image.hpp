// What `compiler/` makes of a program and `driver/` loads: a shared library for the host with this symbol.
#pragma once

#include "table.hpp"

namespace emulator {

struct Image {
    const Kernel *kernels;
    std::size_t count;
    const char *(*run)(const Launch &launch);
};

}  // namespace emulator

#define EMULATOR_IMAGE "emulator_image"

// The devices' architecture, which no GPU has: compiled kernels are stored by architecture, and none of these must ever
// reach a GPU.
#define EMULATOR_ARCHITECTURE "sm_00"
