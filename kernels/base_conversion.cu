// Centred conversion between RNS bases, by the formulas at the top of engine/ring/src/cpu/base_conversion.rs.
#include "operands.cuh"

// What the conversion knows of one of its source primes p of product D.
struct ConversionSource {
    // 1 / (D/p) mod p.
    Multiplier inverse_cofactor;
    // floor(2^(52 + fraction_bits) / p).
    Word overflow;
    Word prime;
};

// Target primes whose sums a thread forms together, so that a value is fetched from shared memory once for all of them.
constexpr unsigned TARGETS_TOGETHER = 4;
// Target primes of a block.
constexpr unsigned TARGETS_OF_BLOCK = 16;
constexpr unsigned CONVERSION_THREADS = 128;

// Factors of two neighbouring target primes, which a thread fetches at once.
struct alignas(16) TwoFactors {
    Halves factors[2];
};

extern __shared__ Word shared[];

// The halves of this thread's y_s, or of v in the place after the last one.
static __device__ __forceinline__ Halves &value_of_thread(Word s) {
    return ((Halves *)shared)[s * blockDim.x + threadIdx.x];
}

// Converts from the limbs `source_limbs` of the source, coefficients, two or more, to limbs `target_limbs` of the target.
//
// Grid: N / threads by target_count / TARGETS_OF_BLOCK, rounded up. A thread owns one coefficient; it keeps y_1 .. y_k and
// v in its column of shared memory, (source_count + 1) words a thread, behind which are the moduli of the block's targets. `factors` has for each y_i, and for v, a word for
// each target prime q, in halves: [D/p_i]_q, and [-D]_q; rows are padded to a multiple of TARGETS_TOGETHER. `target_moduli` has the modulus of each.
extern "C" __global__ void __launch_bounds__(CONVERSION_THREADS)
    convert_basis(Word *__restrict__ target, const Word *__restrict__ target_limbs,
                  const Modulus *__restrict__ target_moduli, Word target_count, const Word *__restrict__ source,
                  const Word *__restrict__ source_limbs, Word source_count,
                  const ConversionSource *__restrict__ sources, Word fraction_bits,
                  const TwoFactors *__restrict__ factors, Word log_degree) {
    const Word i = word_of_thread();
    Modulus *moduli = (Modulus *)(shared + (source_count + 1) * blockDim.x);
    for (unsigned t = threadIdx.x; t < TARGETS_OF_BLOCK; t += blockDim.x) {
        const unsigned prime = blockIdx.y * TARGETS_OF_BLOCK + t;
        if (prime < target_count) moduli[t] = target_moduli[prime];
    }
    // v: the rounded sum of y_i / p_i.
    Word overflows = (Word)1 << (fraction_bits - 1);
    for (Word s = 0; s < source_count; s++) {
        const Word x = source[word_at(source_limbs[s], log_degree, i)];
        const Word y = multiply(x, sources[s].inverse_cofactor, sources[s].prime);
        value_of_thread(s) = halves_of(y);
        // y m / 2^52 of y < 2^50.
        overflows += __umul64hi(y << 12, sources[s].overflow);
    }
    value_of_thread(source_count) = halves_of(overflows >> fraction_bits);
    __syncthreads();
    const unsigned pairs_of_row = (unsigned)((target_count + TARGETS_TOGETHER - 1) / TARGETS_TOGETHER) * (TARGETS_TOGETHER / 2);
    for (unsigned round = 0; round < TARGETS_OF_BLOCK / TARGETS_TOGETHER; round++) {
        const unsigned first = blockIdx.y * TARGETS_OF_BLOCK + round * TARGETS_TOGETHER;
        if (first >= target_count) return;
        HalvesSum sums[TARGETS_TOGETHER] = {};
        const TwoFactors *row = factors + first / 2;
#pragma unroll 2
        for (unsigned s = 0; s <= source_count; s++) {
            const Halves y = value_of_thread(s);
#pragma unroll
            for (unsigned pair = 0; pair < TARGETS_TOGETHER / 2; pair++) {
                const TwoFactors two = row[pair];
                sums[2 * pair].add_product(y, two.factors[0]);
                sums[2 * pair + 1].add_product(y, two.factors[1]);
            }
            row += pairs_of_row;
        }
#pragma unroll
        for (unsigned t = 0; t < TARGETS_TOGETHER; t++) {
            if (first + t < target_count) {
                target[word_at(target_limbs[first + t], log_degree, i)] =
                    reduce(sums[t].total(), moduli[round * TARGETS_TOGETHER + t]);
            }
        }
    }
}

// The same from the limb of a single prime p, where the centred representative is known exactly: x, or x - p if x is the
// larger half of p. Word by word: target limbs along y.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    convert_limb(Word *__restrict__ target, const Word *__restrict__ target_limbs,
                 const Modulus *__restrict__ target_moduli, const Word *__restrict__ source,
                 const Word *__restrict__ source_limb, Word prime, Word log_degree) {
    const Word i = word_of_thread();
    const Modulus modulus = target_moduli[blockIdx.y];
    const Word x = source[word_at(*source_limb, log_degree, i)];
    const bool negative = x > prime / 2;
    const Word residue = reduce(negative ? prime - x : x, modulus);
    target[word_at(target_limbs[blockIdx.y], log_degree, i)] = negative ? negate(residue, modulus.value) : residue;
}

// quotient = (source - quotient) factor: divides what is left after subtracting a remainder.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    subtract_from_and_scale(Word *__restrict__ quotient, const Word *__restrict__ source,
                            const Word *__restrict__ source_limbs, const Multiplier *__restrict__ factors,
                            Word log_degree, const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word i = word_of_thread();
    const Word at = word_at(blockIdx.y, log_degree, i);
    const Word p = moduli[primes[blockIdx.y]].value;
    const Word difference = source[word_at(source_limbs[blockIdx.y], log_degree, i)] + p - quotient[at];
    quotient[at] = multiply(difference, factors[blockIdx.y], p);
}
