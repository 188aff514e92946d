// Kernels and launches, as their two sides name them: the kernels' library, and who asks it to run one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block.hpp"

namespace emulator {

// What every device since sm_80 grants a block that asks for nothing special.
constexpr unsigned MOST_THREADS = 1024;
constexpr std::size_t SHARED_BYTES = 48 << 10;

struct Kernel {
    const char *name;
    void (*call)(const std::uint64_t *arguments);
    std::size_t parameters;
    // The most threads of a block, as the source bounds them.
    unsigned most_threads = MOST_THREADS;
};

// A launch, as the host hands it over.
struct Launch {
    const char *kernel;
    Dimensions grid;
    Dimensions block;
    std::size_t shared_bytes;
    const std::uint64_t *arguments;
    std::size_t argument_count;
    std::uint64_t order;
    unsigned omitted_barrier;
};

}  // namespace emulator
