// The kernels as a shared library for the host, with a C interface that checks a launch and runs it.
#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <utility>

#include "cuda.hpp"

#include "../base_conversion.cu"
#include "../element_wise.cu"
#include "../gadget_product.cu"
#include "../hoisted_sums.cu"
#include "../lanes.cu"
#include "../large_transforms_bottom.cu"
#include "../large_transforms_top.cu"
#include "../modules.cu"
#include "../permutation.cu"
#include "../real_parts.cu"
#include "../small_transforms.cu"
#include "../weights.cu"
#include "../subring_sums.cu"

namespace emulator {

// A kernel, callable with arguments of one word each.
struct Kernel {
    const char *name;
    void (*call)(const std::uint64_t *arguments);
    std::size_t parameters;
};

template <class... Parameters>
struct Signature {
    template <void (*KERNEL)(Parameters...)>
    static constexpr Kernel named(const char *name) {
        static_assert(((sizeof(Parameters) == sizeof(std::uint64_t)) && ...), "a parameter is not one word");
        return {name, &call<KERNEL>, sizeof...(Parameters)};
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

#define KERNEL(name) decltype(signature_of(name))::named<name>(#name)
constexpr Kernel KERNELS[] = {
    KERNEL(forward_limb),
    KERNEL(forward_top),
    KERNEL(forward_bottom),
    KERNEL(forward_bottom_of_division),
    KERNEL(inverse_limb),
    KERNEL(inverse_bottom),
    KERNEL(inverse_top),
    KERNEL(copy_limbs),
    KERNEL(add_assign),
    KERNEL(subtract_assign),
    KERNEL(negate_words),
    KERNEL(multiply_words),
    KERNEL(multiply_accumulate),
    KERNEL(scale),
    KERNEL(add_constant),
    KERNEL(linear_combination),
    KERNEL(tensor),
    KERNEL(automorphism_of_values),
    KERNEL(accumulate_automorphism),
    KERNEL(automorphism_of_coefficients),
    KERNEL(monomial_product_of_coefficients),
    KERNEL(monomial_product_of_values),
    KERNEL(trace),
    KERNEL(parity_split),
    KERNEL(convert_basis),
    KERNEL(convert_limb),
    KERNEL(subtract_from_and_scale),
    KERNEL(gadget_product),
    KERNEL(find_limbs),
    KERNEL(hoisted_sums),
    KERNEL(forward_lanes),
    KERNEL(inverse_lanes),
    KERNEL(lane_products),
    KERNEL(subring_sums),
    KERNEL(gather_strided),
    KERNEL(scatter_strided),
    KERNEL(module_rows),
    KERNEL(gather_rows),
    KERNEL(integer_product),
    KERNEL(weight_polynomials),
    KERNEL(module_product),
};
#undef KERNEL

constexpr unsigned BARRIERS = __COUNTER__ - COUNTER_BEFORE_KERNELS - 1;

// What every device since sm_80 grants a block that asks for nothing special.
constexpr unsigned MOST_THREADS = 1024;
constexpr std::size_t SHARED_BYTES = 48 << 10;

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

constinit thread_local Word shared[emulator::SHARED_BYTES / sizeof(Word)];

namespace emulator {

// Every block finds this in all of its shared memory, so that reading before writing shows.
constexpr int POISON = 0xA5;

static bool is_untouched(std::size_t first_byte) {
    const auto *bytes = reinterpret_cast<const unsigned char *>(shared);
    return std::all_of(bytes + first_byte, bytes + SHARED_BYTES, [](unsigned char byte) { return byte == POISON; });
}

static const char *run(const Launch &launch) {
    const Kernel *kernel = std::find_if(std::begin(KERNELS), std::end(KERNELS), [&](const Kernel &candidate) {
        return std::strcmp(candidate.name, launch.kernel) == 0;
    });
    if (kernel == std::end(KERNELS)) return "there is no such kernel";
    if (kernel->parameters != launch.argument_count) return "the kernel has another number of parameters";
    if (launch.grid.count() == 0 || launch.block.count() == 0) return "the grid or the block is empty";
    if (launch.block.count() > MOST_THREADS) return "a block has too many threads";
    if (launch.shared_bytes > SHARED_BYTES) return "a block asks for too much shared memory";

    static thread_local std::deque<Thread> threads;
    Order order(launch.order);
    position = {.grid = launch.grid,
                .block_size = launch.block,
                .block = {},
                .thread = nullptr,
                .call = kernel->call,
                .arguments = launch.arguments,
                .omitted_barrier = launch.omitted_barrier};
    std::memset(shared, POISON, SHARED_BYTES);
    for (const unsigned block : order.turns(launch.grid.count())) {
        position.block = launch.grid.at(block);
        std::memset(shared, POISON, launch.shared_bytes);
        if (const char *fault = run_block(threads, order)) return fault;
    }
    return is_untouched(launch.shared_bytes) ? nullptr : "a block wrote beyond the shared memory that it asked for";
}

}  // namespace emulator

// Runs a launch to its end. Answers why it was refused or stopped (in static storage), or null.
extern "C" __attribute__((visibility("default"))) const char *emulator_launch(const emulator::Launch *launch) {
    return emulator::run(*launch);
}

// How many barriers the source of the kernels has.
extern "C" __attribute__((visibility("default"))) unsigned emulator_barrier_count() { return emulator::BARRIERS; }
