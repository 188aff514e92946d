// CUDA C++ for a host compiler: include before a .cu source, which is compiled as it is.
//
// One operating-system thread runs a launch, block after block. Covered is what the kernels use: built-in variables,
// barriers of a block, shared memory, the high half of a product, reversed bits, leading zeros. Not shown by it are the order of memory accesses
// between blocks, concurrency inside a warp, and time.
#pragma once

#include "block.hpp"

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

// Declares both static arrays and `extern` ones of dynamic size; `constinit` spares the latter a check at each access.
#define __shared__ constinit thread_local

#define threadIdx (emulator::position.thread->index)
#define blockIdx (emulator::position.block)
#define blockDim (emulator::position.block_size)
#define gridDim (emulator::position.grid)

// Each barrier of the source has a number, from 1 on, so that a launch can leave one out.
namespace emulator {
constexpr unsigned COUNTER_BEFORE_KERNELS = __COUNTER__;
}
#define __syncthreads() emulator::wait_at_barrier(__COUNTER__ - emulator::COUNTER_BEFORE_KERNELS)

static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return static_cast<unsigned __int128>(x) * y >> 64;
}

// The emulator knows no warps: the wait is for the whole block.
#define __syncwarp() __syncthreads()

static inline int __clz(unsigned x) { return x == 0 ? 32 : __builtin_clz(x); }

static inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; bit++) reversed |= (x >> bit & 1) << (31 - bit);
    return reversed;
}

template <class T>
static inline T __ldg(const T *address) {
    return *address;
}
