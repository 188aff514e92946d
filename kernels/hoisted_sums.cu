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

// addresses[limb][k] = where operand k has its limb; null for an operand without words, or without that limb.
//
// Grid: operands along x, limbs along y. It spares the threads of `hoisted_sums` two steps on the way to each word.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    find_limbs(const Word **__restrict__ addresses, const Operand *__restrict__ operands, Word operand_count,
               Word log_degree) {
    const Word k = word_of_thread();
    if (k >= operand_count) return;
    const Operand operand = operands[k];
    addresses[blockIdx.y * operand_count + k] =
        operand.words == nullptr ? nullptr : limb_of(operand, blockIdx.y, log_degree);
}

// Sums that a thread forms together, in registers.
constexpr unsigned SUMS_TOGETHER = 4;
// Blocks that a multiprocessor should have registers for.
constexpr unsigned HOISTED_BLOCKS = 3;

// For input x, sum s and half h:
//
//   targets[x][s][h] = sum_a factors[a][s] a( sum_t digits[x][t] rows[a][t][h] + P ciphertexts[x][h] )
//
// `operands` are the addresses that `find_limbs` found, `operand_count` for each limb: rows, factors, ciphertexts. Grid:
// inputs and blocks of words along x, limbs along y, groups of SUMS_TOGETHER sums along z. Inputs vary fastest, so that the
// blocks that read the same words of keys and factors run at the same time and find them in the cache. A thread owns one
// word of the sums; the word of the products that an automorphism moves there is computed where it is needed.
extern "C" __global__ void __launch_bounds__(WORD_THREADS, HOISTED_BLOCKS)
    hoisted_sums(const HoistedAutomorphism *__restrict__ automorphisms, const Word *const *__restrict__ operands,
                 Word operand_count, const Word *const *__restrict__ digits, Word *const *__restrict__ targets,
                 const Word *__restrict__ special_products, Word automorphism_count, Word input_count, Word term_count,
                 Word sum_count, Word log_degree, const Word *__restrict__ primes,
                 const Modulus *__restrict__ moduli) {
    const unsigned input = blockIdx.x % (unsigned)input_count;
    const unsigned i = blockIdx.x / (unsigned)input_count * blockDim.x + threadIdx.x;
    const Word limb = blockIdx.y;
    const unsigned first_sum = blockIdx.z * SUMS_TOGETHER;
    const unsigned used_sums = (unsigned)sum_count - first_sum;
    const Modulus modulus = moduli[primes[limb]];
    const Word *const *rows = operands + limb * operand_count;
    const Word *const *factors = rows + automorphism_count * term_count * 2 + first_sum;
    const Word *const *ciphertext = rows + automorphism_count * (term_count * 2 + sum_count) + input * 2;
    const Word *const *input_digits = digits + input * term_count;
    const Word special_product = special_products[limb];
    DoubleWord sums[SUMS_TOGETHER][2] = {};
    for (Word a = 0; a < automorphism_count; a++, rows += term_count * 2, factors += sum_count) {
        const HoistedAutomorphism automorphism = automorphisms[a];
        const unsigned from = value_moved_to(i, automorphism.multiplier, automorphism.offset, log_degree);
        // Fetched before they are needed, at the same time as the words of digits and keys.
        Word factor[SUMS_TOGETHER];
#pragma unroll
        for (unsigned s = 0; s < SUMS_TOGETHER; s++) {
            factor[s] = s < used_sums && factors[s] != nullptr ? __ldg(factors[s] + i) : 0;
        }
        DoubleWord first = 0, second = 0;
        // A ciphertext has no special limbs: the product of the special primes is zero modulo each of them.
        if (ciphertext[0] != nullptr) {
            first = (DoubleWord)__ldg(ciphertext[0] + from) * special_product;
            if (automorphism.adds_second_half) second = (DoubleWord)__ldg(ciphertext[1] + from) * special_product;
        }
        const Word at = word_at(limb, log_degree, from);
#pragma unroll 4
        for (unsigned t = 0; t < automorphism.row_count; t++) {
            const Word digit = __ldg(input_digits[t] + at);
            first += (DoubleWord)digit * __ldg(rows[2 * t] + from);
            second += (DoubleWord)digit * __ldg(rows[2 * t + 1] + from);
        }
        const Word moved_first = reduce(first, modulus), moved_second = reduce(second, modulus);
#pragma unroll
        for (unsigned s = 0; s < SUMS_TOGETHER; s++) {
            sums[s][0] += (DoubleWord)moved_first * factor[s];
            sums[s][1] += (DoubleWord)moved_second * factor[s];
        }
    }
#pragma unroll
    for (unsigned s = 0; s < SUMS_TOGETHER; s++) {
        if (s < used_sums) {
            Word *const *halves = targets + (input * sum_count + first_sum + s) * 2;
            halves[0][word_at(limb, log_degree, i)] = reduce(sums[s][0], modulus);
            halves[1][word_at(limb, log_degree, i)] = reduce(sums[s][1], modulus);
        }
    }
}
