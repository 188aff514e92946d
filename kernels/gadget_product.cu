// The inner products of gadget digits with the two halves of a key's rows, for a batch of inputs that share the key.
//
// The host finds the limbs of every operand, so that the kernel needs to know neither which primes are absent from a
// digit nor which further ones a row has.
#include "modular_arithmetic.cuh"

// One limb of a product: where its halves go, and what is added to them.
struct GadgetProduct {
    Word *targets[2];
    // Null where nothing is added.
    const Word *addends[2];
    Word factors[2];
};

// One limb of a row of the key.
struct GadgetRow {
    const Word *halves[2];
};

constexpr unsigned GADGET_THREADS = 256;
// Blocks that a multiprocessor has registers for: 64 a thread. Left to itself ptxas aims at more blocks and spills.
constexpr unsigned GADGET_BLOCKS = 4;

// Word i of an addend times its factor.
static __device__ __forceinline__ DoubleWord scaled_addend(const Word *addend, Word factor, Word i) {
    return addend == nullptr ? 0 : (DoubleWord)__ldg(addend + i) * factor;
}

// targets[h] = sum_t digit_t rows_t[h] + addends[h] factors[h] for every product of the batch, word by word.
//
// Grid: degree / GADGET_THREADS, rounded up, by limbs. A thread owns one word of all products of its limb. A digit is
// read once for both halves; a block's part of the key, 4 KiB a term, fits in its cache for the products after the
// first. Products are summed unreduced, and the sum is reduced once.
extern "C" __global__ void __launch_bounds__(GADGET_THREADS, GADGET_BLOCKS)
    gadget_product(const GadgetProduct *__restrict__ products, const Word *const *__restrict__ digits,
                   const GadgetRow *__restrict__ rows, Word log_degree, Word product_count, Word term_count,
                   const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word limb = blockIdx.y;
    const Word i = (Word)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >> log_degree != 0) return;
    const Modulus modulus = moduli[primes[limb]];
    for (Word index = limb * product_count; index < (limb + 1) * product_count; index++) {
        const GadgetProduct product = products[index];
        DoubleWord first = scaled_addend(product.addends[0], product.factors[0], i);
        DoubleWord second = scaled_addend(product.addends[1], product.factors[1], i);
        for (Word t = 0; t < term_count; t++) {
            // A pointer from memory does not say where it leads; __ldg takes the read-only path of global memory.
            const Word digit = __ldg(digits[index * term_count + t] + i);
            const GadgetRow row = rows[limb * term_count + t];
            first += (DoubleWord)digit * __ldg(row.halves[0] + i);
            second += (DoubleWord)digit * __ldg(row.halves[1] + i);
        }
        product.targets[0][i] = reduce(first, modulus);
        product.targets[1][i] = reduce(second, modulus);
    }
}
