// The inner products of gadget digits with the two halves of a key's rows, for a batch of inputs that share the key.
#include "operands.cuh"

// A product of the batch: where its halves go, and what is added to them.
struct GadgetProduct {
    Word *targets[2];
    // Without words where nothing is added.
    Operand addends[2];
    // Whether an addend is multiplied by the product of the special primes.
    Word scaled[2];
};

// A row of the key.
struct GadgetRow {
    Operand halves[2];
};

// Blocks that a multiprocessor has registers for: 64 a thread. Left to itself ptxas aims at more blocks and spills.
constexpr unsigned GADGET_BLOCKS = 4;

// Word i of what is added to half h of a product.
static __device__ __forceinline__ DoubleWord addend(const GadgetProduct &product, unsigned h, Word limb, Word i,
                                                    Word special_product, Word log_degree) {
    if (product.addends[h].words == nullptr) return 0;
    const Word *words = limb_of(product.addends[h], limb, log_degree);
    // The product of the special primes is zero modulo each of them.
    if (words == nullptr) return 0;
    return (DoubleWord)__ldg(words + i) * (product.scaled[h] ? special_product : 1);
}

// targets[h] = sum_t digit_t rows_t[h] + addends[h] for every product of the batch, word by word.
//
// A thread owns one word of all products of its limb. A digit is read once for both halves; a block's part of the key,
// 4 KiB a term, fits in its cache for the products after the first. Products are summed unreduced, and the sum is reduced
// once.
extern "C" __global__ void __launch_bounds__(WORD_THREADS, GADGET_BLOCKS)
    gadget_product(const GadgetProduct *__restrict__ products, const Word *const *__restrict__ digits,
                   const GadgetRow *__restrict__ rows, const Word *__restrict__ special_products, Word log_degree,
                   Word product_count, Word term_count, const Word *__restrict__ primes,
                   const Modulus *__restrict__ moduli) {
    const Word limb = blockIdx.y;
    const Word i = word_of_thread();
    const Word at = word_at(limb, log_degree, i);
    const Modulus modulus = moduli[primes[limb]];
    for (Word index = 0; index < product_count; index++) {
        const GadgetProduct &product = products[index];
        DoubleWord first = addend(product, 0, limb, i, special_products[limb], log_degree);
        DoubleWord second = addend(product, 1, limb, i, special_products[limb], log_degree);
        for (Word t = 0; t < term_count; t++) {
            // A pointer from memory does not say where it leads; __ldg takes the read-only path of global memory.
            const Word digit = __ldg(digits[index * term_count + t] + at);
            first += (DoubleWord)digit * __ldg(limb_of(rows[t].halves[0], limb, log_degree) + i);
            second += (DoubleWord)digit * __ldg(limb_of(rows[t].halves[1], limb, log_degree) + i);
        }
        product.targets[0][at] = reduce(first, modulus);
        product.targets[1][at] = reduce(second, modulus);
    }
}
