// Where a kernel finds its operands.
//
// Threads of a word-wise kernel: one for each word of each limb of the result. The limb is blockIdx.y, and blocks tile a
// limb exactly, since both are powers of two.
#pragma once
#include "modular_arithmetic.cuh"

// Most threads of a block of a word-wise kernel.
constexpr unsigned WORD_THREADS = 256;

// The position of a limb that an operand does not have.
constexpr Word ABSENT = ~0ull;

// A polynomial that may have other primes than the result: its words, and for each limb of the result the position of
// the limb of the same prime, or ABSENT.
struct Operand {
    const Word *words;
    const Word *limbs;
};

// The word of a limb that this thread owns.
static __device__ __forceinline__ unsigned word_of_thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Where word i of a limb at a known position lies.
static __device__ __forceinline__ Word word_at(Word position, Word log_degree, Word i) {
    return (position << log_degree) + i;
}

// The operand's limb of the same prime as the result's, or null.
static __device__ __forceinline__ const Word *limb_of(const Operand &operand, Word limb, Word log_degree) {
    const Word position = __ldg(operand.limbs + limb);
    return position == ABSENT ? nullptr : operand.words + (position << log_degree);
}
