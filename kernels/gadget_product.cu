// The inner product of gadget digits with the two halves of a key's rows.
#include "modular_arithmetic.cuh"

// What one term of the sum contributes to one limb. The host finds the limbs, so that the kernel needs to know neither
// which primes are absent from a digit nor which further ones a row has.
struct GadgetTerm {
    const Word *digit;
    const Word *rows[2];
};

constexpr unsigned GADGET_THREADS = 256;

// first += sum_t digit_t rows_t[0] and second += sum_t digit_t rows_t[1], word by word.
//
// Grid: degree / GADGET_THREADS, rounded up, by limbs. A thread owns one word of both targets, so that each digit is
// read once; products are summed unreduced and the sum is reduced once.
extern "C" __global__ void __launch_bounds__(GADGET_THREADS)
    gadget_product(Word *__restrict__ first, Word *__restrict__ second, Word log_degree, Word term_count,
                   const GadgetTerm *__restrict__ terms, const Word *__restrict__ primes,
                   const Modulus *__restrict__ moduli) {
    const Word limb = blockIdx.y;
    const Word i = (Word)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >> log_degree != 0) return;
    const Word word = (limb << log_degree) + i;
    DoubleWord first_sum = first[word];
    DoubleWord second_sum = second[word];
    for (Word t = 0; t < term_count; t++) {
        const GadgetTerm term = terms[limb * term_count + t];
        // A pointer that comes from memory does not say where it leads; __ldg takes the read-only path of global
        // memory.
        const Word digit = __ldg(term.digit + i);
        first_sum += (DoubleWord)digit * __ldg(term.rows[0] + i);
        second_sum += (DoubleWord)digit * __ldg(term.rows[1] + i);
    }
    const Modulus modulus = moduli[primes[limb]];
    first[word] = reduce(first_sum, modulus);
    second[word] = reduce(second_sum, modulus);
}
