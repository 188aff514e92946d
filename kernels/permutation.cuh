// How automorphisms permute the values of a polynomial.
#pragma once
#include "operands.cuh"

// Reverses the low `bits` bits, at least one.
static __device__ __forceinline__ unsigned reverse_bits(unsigned i, Word bits) { return __brev(i) >> (32 - bits); }

// Value i is taken at an exponent that is affine in b = reverse_bits(i), so that X -> X^g maps b to multiplier b + offset
// modulo N. This is the index of the value that moves to index i.
static __device__ __forceinline__ unsigned value_moved_to(unsigned i, Word multiplier, Word offset, Word log_degree) {
    const unsigned image = (unsigned)multiplier * reverse_bits(i, log_degree) + (unsigned)offset;
    return reverse_bits(image, log_degree);
}
