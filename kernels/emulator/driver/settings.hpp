// What a test chooses, in variables of the environment. README.md lists them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace driver {

inline std::uint64_t number(const char *variable, std::uint64_t otherwise) {
    const char *text = std::getenv(variable);
    if (text == nullptr || *text == 0) return otherwise;
    char *end = nullptr;
    const std::uint64_t value = std::strtoull(text, &end, 10);
    if (*end != 0) {
        std::fprintf(stderr, "CUDA emulator: %s is `%s`, but a number is required\n", variable, text);
        std::exit(1);
    }
    return value;
}

struct Settings {
    std::uint64_t devices = number("CUDA_EMULATOR_DEVICES", 1);
    // Bytes of each device.
    std::uint64_t memory = number("CUDA_EMULATOR_MEMORY", std::uint64_t{8} << 30);
    // Whether devices have pools of memory, and with them allocations in the order of streams.
    bool pools = number("CUDA_EMULATOR_POOLS", 1) != 0;
    // The order of streams, blocks and threads; 0 for the order in which they were made.
    std::uint64_t seed = number("CUDA_EMULATOR_SEED", 0);
    // The barrier of the kernels' source, counted from 1, that threads run through as if it were missing; 0 for none.
    unsigned omitted_barrier = number("CUDA_EMULATOR_OMITTED_BARRIER", 0);
    // Whether what is left at exit makes the process fail.
    bool leaks_fail = number("CUDA_EMULATOR_LEAKS_FAIL", 0) != 0;
};

}  // namespace driver
