// Launches: what makes kernels callable with arguments of one word each, and runs them.
//
// Include after the kernels: their dynamic shared memory is the array `shared` of words.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "table.hpp"

namespace emulator {

template <class... Parameters>
struct Signature {
    template <void (*KERNEL)(Parameters...)>
    static constexpr Kernel named(const char *name, unsigned most_threads = MOST_THREADS) {
        static_assert(((sizeof(Parameters) == sizeof(std::uint64_t)) && ...), "a parameter is not one word");
        return {name, &call<KERNEL>, sizeof...(Parameters), most_threads};
    }

   private:
    template <void (*KERNEL)(Parameters...)>
    static void call(const std::uint64_t *arguments) {
        unpack<KERNEL>(arguments, std::index_sequence_for<Parameters...>{});
    }

    template <void (*KERNEL)(Parameters...), std::size_t... INDICES>
    static void unpack(const std::uint64_t *arguments, std::index_sequence<INDICES...>) {
        KERNEL(std::bit_cast<Parameters>(arguments[INDICES])...);
    }
};

template <class... Parameters>
constexpr Signature<Parameters...> signature_of(void (*)(Parameters...)) {
    return {};
}

// An entry of the table.
#define KERNEL(name, ...) decltype(emulator::signature_of(name))::named<name>(#name __VA_OPT__(,) __VA_ARGS__)

}  // namespace emulator

constinit thread_local Word shared[emulator::SHARED_BYTES / sizeof(Word)];

namespace emulator {

// Every block finds this in all of its shared memory, so that reading before writing shows.
constexpr int POISON = 0xA5;

static bool is_untouched(std::size_t first_byte) {
    const auto *bytes = reinterpret_cast<const unsigned char *>(shared);
    const std::size_t count = SHARED_BYTES - first_byte;
    // The first is the poison, and each is as the one before.
    return count == 0 || (bytes[first_byte] == POISON && std::memcmp(bytes + first_byte, bytes + first_byte + 1, count - 1) == 0);
}

// Runs a launch to its end. Answers why it was refused or stopped (in static storage), or null.
template <std::size_t COUNT>
const char *run(const Kernel (&kernels)[COUNT], const Launch &launch) {
    const Kernel *kernel = std::find_if(kernels, kernels + COUNT, [&](const Kernel &candidate) {
        return std::strcmp(candidate.name, launch.kernel) == 0;
    });
    if (kernel == kernels + COUNT) return "there is no such kernel";
    if (kernel->parameters != launch.argument_count) return "the kernel has another number of parameters";
    if (launch.grid.count() == 0 || launch.block.count() == 0) return "the grid or the block is empty";
    if (launch.block.count() > kernel->most_threads) return "a block has too many threads";
    if (launch.shared_bytes > SHARED_BYTES) return "a block asks for too much shared memory";

    static thread_local Block block;
    block.resize(launch.block);
    Order order(launch.order);
    position = {.grid = launch.grid,
                .block_size = launch.block,
                .block = {},
                .thread = nullptr,
                .threads = &block,
                .fiber = nullptr,
                .call = kernel->call,
                .arguments = launch.arguments,
                .outside = races::running(),
                .omitted_barrier = launch.omitted_barrier};
    std::memset(shared, POISON, SHARED_BYTES);
    for (const unsigned turn : order.turns(launch.grid.count())) {
        position.block = launch.grid.at(turn);
        std::memset(shared, POISON, launch.shared_bytes);
        if (const char *fault = run_block(block, order)) return fault;
    }
    return is_untouched(launch.shared_bytes) ? nullptr : "a block wrote beyond the shared memory that it asked for";
}

}  // namespace emulator
