// Arithmetic modulo odd primes below 2^50, on 64-bit words.
//
// The fourteen spare bits of a word are what makes it fast: sums stay unreduced for several layers of a transform, and
// a product with a known factor needs no comparison. "Lazily" means a result in 0..2p.
#pragma once

// NVRTC has no <cstdint>, and 128-bit integers with --device-int128 only.
typedef unsigned long long Word;
typedef unsigned __int128 DoubleWord;

// A prime p and what reduces words modulo p.
struct alignas(16) Modulus {
    Word value;
    // floor(2^64 / p)
    Word word_quotient;
    // 2^64 mod p, and floor(word_residue 2^64 / p)
    Word word_residue;
    Word word_residue_quotient;
};

// A known residue w with floor(w 2^64 / p): Shoup's trick.
struct alignas(16) Multiplier {
    Word value;
    Word quotient;
};

// x - bound if that is not negative, else x.
static __device__ __forceinline__ Word subtract_once(Word x, Word bound) {
    // The smaller of the two: a negative difference wraps and is huge.
    const Word difference = x - bound;
    return difference < x ? difference : x;
}

// x w, lazily, for any word x: the estimated quotient is at most one too small.
static __device__ __forceinline__ Word multiply_lazily(Word x, Multiplier w, Word p) {
    return x * w.value - __umul64hi(x, w.quotient) * p;
}

// x w in 0..p, for any word x.
static __device__ __forceinline__ Word multiply(Word x, Multiplier w, Word p) {
    return subtract_once(multiply_lazily(x, w, p), p);
}

// Any word, lazily.
static __device__ __forceinline__ Word reduce_lazily(Word x, const Modulus &modulus) {
    return x - __umul64hi(x, modulus.word_quotient) * modulus.value;
}

// Any word, in 0..p.
static __device__ __forceinline__ Word reduce(Word x, const Modulus &modulus) {
    return subtract_once(reduce_lazily(x, modulus), modulus.value);
}

// Any double word, in 0..p: a sum of up to 2^28 products of residues, say.
static __device__ __forceinline__ Word reduce(DoubleWord x, const Modulus &modulus) {
    const Word p = modulus.value;
    const Multiplier carry = {modulus.word_residue, modulus.word_residue_quotient};
    // high 2^64 + low, each lazily: below 4p.
    const Word sum = multiply_lazily((Word)(x >> 64), carry, p) + reduce_lazily((Word)x, modulus);
    return subtract_once(subtract_once(sum, 2 * p), p);
}

// x + y in 0..p, for x and y in 0..p.
static __device__ __forceinline__ Word add(Word x, Word y, Word p) { return subtract_once(x + y, p); }

// x - y in 0..p, for x and y in 0..p.
static __device__ __forceinline__ Word subtract(Word x, Word y, Word p) { return subtract_once(x + p - y, p); }

// -x in 0..p, for x in 0..p.
static __device__ __forceinline__ Word negate(Word x, Word p) { return x == 0 ? 0 : p - x; }

// x y in 0..p, for x and y in 0..p.
static __device__ __forceinline__ Word multiply(Word x, Word y, const Modulus &modulus) {
    return reduce((DoubleWord)x * y, modulus);
}

// --- sums of products without carries --------------------------------------------------------------------------------

// A word below 2^50 as two halves of 25 bits, in one word: the low half lowest.
struct Halves {
    unsigned low;
    unsigned high;
};
constexpr unsigned HALF_BITS = 25;

static __device__ __forceinline__ Halves halves_of(Word x) {
    return {(unsigned)x & ((1u << HALF_BITS) - 1), (unsigned)(x >> HALF_BITS)};
}

// A sum of up to 2^13 products of words below 2^50. Products of halves are below 2^50, so that one instruction adds one,
// and no carry passes between the three sums until the end.
struct HalvesSum {
    Word low;
    Word middle;
    Word high;

    __device__ __forceinline__ void add_product(Halves x, Halves y) {
        low += (Word)x.low * y.low;
        middle += (Word)x.low * y.high;
        middle += (Word)x.high * y.low;
        high += (Word)x.high * y.high;
    }
    __device__ __forceinline__ DoubleWord total() const {
        return (DoubleWord)low + ((DoubleWord)middle << HALF_BITS) + ((DoubleWord)high << (2 * HALF_BITS));
    }
};
