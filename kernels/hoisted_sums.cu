// Sums of rotated ciphertexts times plaintexts, without storing a rotated ciphertext.
#include "permutation.cuh"

// An automorphism, in the terms of permutation.cuh, and its part in the sums.
struct HoistedAutomorphism {
    Word multiplier;
    Word offset;
    // Rows of its key; none for the identity.
    Word row_count;
    // Whether the second half of a ciphertext is added to the product: for the identity.
    Word adds_second_half;
};

// Sums that a thread forms together, in registers.
constexpr unsigned SUMS_TOGETHER = 8;

// For input x, sum s and half h:
//
//   targets[x][s][h] = sum_a factors[a][s] a( sum_t digits[x][t] rows[a][t][h] + P ciphertexts[x][h] )
//
// Grid: inputs, halves and blocks of words along x, limbs along y, groups of SUMS_TOGETHER sums along z. Inputs and
// halves vary fastest, so that the blocks that read the same words of keys and factors run at the same time and find
// them in the cache. A thread owns one word of the sums; the word of the products that an automorphism moves there is
// computed where it is needed.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    hoisted_sums(const HoistedAutomorphism *__restrict__ automorphisms, const Operand *__restrict__ rows,
                 const Operand *__restrict__ factors, const Operand *__restrict__ ciphertexts,
                 const Word *const *__restrict__ digits, Word *const *__restrict__ targets,
                 const Word *__restrict__ special_products, Word automorphism_count, Word input_count, Word term_count,
                 Word sum_count, Word log_degree, const Word *__restrict__ primes,
                 const Modulus *__restrict__ moduli) {
    const unsigned half = blockIdx.x & 1;
    const unsigned input = (blockIdx.x >> 1) % (unsigned)input_count;
    const unsigned i = (blockIdx.x >> 1) / (unsigned)input_count * blockDim.x + threadIdx.x;
    const Word limb = blockIdx.y;
    const Word first_sum = (Word)blockIdx.z * SUMS_TOGETHER;
    const Modulus modulus = moduli[primes[limb]];
    DoubleWord sums[SUMS_TOGETHER] = {};
    for (Word a = 0; a < automorphism_count; a++) {
        const HoistedAutomorphism automorphism = automorphisms[a];
        const unsigned from = value_moved_to(i, automorphism.multiplier, automorphism.offset, log_degree);
        DoubleWord product = 0;
        if (half == 0 || automorphism.adds_second_half) {
            const Word *ciphertext = limb_of(ciphertexts[input * 2 + half], limb, log_degree);
            if (ciphertext != nullptr) product = (DoubleWord)__ldg(ciphertext + from) * special_products[limb];
        }
        for (Word t = 0; t < automorphism.row_count; t++) {
            const Word *row = limb_of(rows[(a * term_count + t) * 2 + half], limb, log_degree);
            const Word digit = __ldg(digits[input * term_count + t] + word_at(limb, log_degree, from));
            product += (DoubleWord)digit * __ldg(row + from);
        }
        const Word moved = reduce(product, modulus);
#pragma unroll
        for (unsigned s = 0; s < SUMS_TOGETHER; s++) {
            if (first_sum + s < sum_count) {
                const Operand factor = factors[a * sum_count + first_sum + s];
                if (factor.words != nullptr) {
                    sums[s] += (DoubleWord)moved * __ldg(limb_of(factor, limb, log_degree) + i);
                }
            }
        }
    }
#pragma unroll
    for (unsigned s = 0; s < SUMS_TOGETHER; s++) {
        if (first_sum + s < sum_count) {
            Word *target = targets[(input * sum_count + first_sum + s) * 2 + half];
            target[word_at(limb, log_degree, i)] = reduce(sums[s], modulus);
        }
    }
}
