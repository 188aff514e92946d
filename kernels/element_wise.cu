// Word by word: sums, products and constants. Launches as operands.cuh says; ABI.md has the arguments.
//
// Targets may be operands too: a thread reads its words before it writes them.
#include "operands.cuh"

// target = coefficients, signed integers, one for each power of X, modulo each prime.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    reduce_signed(Word *__restrict__ target, const long long *__restrict__ coefficients, Word log_degree,
                  const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word i = word_of_thread();
    const Modulus modulus = moduli[primes[blockIdx.y]];
    const long long coefficient = coefficients[i];
    const Word residue = reduce(coefficient < 0 ? -(Word)coefficient : (Word)coefficient, modulus);
    target[word_at(blockIdx.y, log_degree, i)] = coefficient < 0 ? negate(residue, modulus.value) : residue;
}

// target += other.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    add_assign(Word *target, const Word *other, Word log_degree, const Word *__restrict__ primes,
               const Modulus *__restrict__ moduli) {
    const Word at = word_at(blockIdx.y, log_degree, word_of_thread());
    target[at] = add(target[at], other[at], moduli[primes[blockIdx.y]].value);
}

// target -= other.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    subtract_assign(Word *target, const Word *other, Word log_degree, const Word *__restrict__ primes,
                    const Modulus *__restrict__ moduli) {
    const Word at = word_at(blockIdx.y, log_degree, word_of_thread());
    target[at] = subtract(target[at], other[at], moduli[primes[blockIdx.y]].value);
}

// target = -target.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    negate_words(Word *target, Word log_degree, const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word at = word_at(blockIdx.y, log_degree, word_of_thread());
    target[at] = negate(target[at], moduli[primes[blockIdx.y]].value);
}

// target = left right, where the right factor may have more primes.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    multiply_words(Word *target, const Word *left, const Word *right, const Word *__restrict__ right_limbs,
                   Word log_degree, const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word i = word_of_thread();
    const Word at = word_at(blockIdx.y, log_degree, i);
    const Word factor = right[word_at(right_limbs[blockIdx.y], log_degree, i)];
    target[at] = multiply(left[at], factor, moduli[primes[blockIdx.y]]);
}

// target += left right, where the right factor may have more primes.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    multiply_accumulate(Word *target, const Word *left, const Word *right, const Word *__restrict__ right_limbs,
                        Word log_degree, const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word i = word_of_thread();
    const Word at = word_at(blockIdx.y, log_degree, i);
    const Word factor = right[word_at(right_limbs[blockIdx.y], log_degree, i)];
    target[at] = reduce((DoubleWord)left[at] * factor + target[at], moduli[primes[blockIdx.y]]);
}

// target = factor source, limb by limb; zero where the source has no such limb.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    scale(Word *target, const Word *source, const Word *__restrict__ source_limbs,
          const Multiplier *__restrict__ factors, Word log_degree, const Word *__restrict__ primes,
          const Modulus *__restrict__ moduli) {
    const Word i = word_of_thread();
    const Word position = source_limbs[blockIdx.y];
    const Word p = moduli[primes[blockIdx.y]].value;
    const Word word = position == ABSENT ? 0 : source[word_at(position, log_degree, i)];
    target[word_at(blockIdx.y, log_degree, i)] = multiply(word, factors[blockIdx.y], p);
}

// target += constant, a constant for each limb.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    add_constant(Word *target, const Word *__restrict__ constants, Word log_degree, const Word *__restrict__ primes,
                 const Modulus *__restrict__ moduli) {
    const Word at = word_at(blockIdx.y, log_degree, word_of_thread());
    target[at] = add(target[at], constants[blockIdx.y], moduli[primes[blockIdx.y]].value);
}

// target = sum_t constants[limb][t] terms[t].
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    linear_combination(Word *__restrict__ target, const Operand *__restrict__ terms,
                       const Word *__restrict__ constants, Word term_count, Word log_degree,
                       const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word i = word_of_thread();
    const Word limb = blockIdx.y;
    DoubleWord sum = 0;
    for (Word t = 0; t < term_count; t++) {
        sum += (DoubleWord)__ldg(limb_of(terms[t], limb, log_degree) + i) * constants[limb * term_count + t];
    }
    target[word_at(limb, log_degree, i)] = reduce(sum, moduli[primes[limb]]);
}

// The product (b, a) (b', a') = (b b', b a' + a b', a a'), where the right factor may have more primes.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    tensor(Word *__restrict__ constant, Word *__restrict__ linear, Word *__restrict__ quadratic,
           const Word *__restrict__ left_b, const Word *__restrict__ left_a, const Word *__restrict__ right_b,
           const Word *__restrict__ right_a, const Word *__restrict__ right_limbs, Word log_degree,
           const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word i = word_of_thread();
    const Word at = word_at(blockIdx.y, log_degree, i);
    const Word other = word_at(right_limbs[blockIdx.y], log_degree, i);
    const Modulus modulus = moduli[primes[blockIdx.y]];
    const Word b = left_b[at], a = left_a[at], other_b = right_b[other], other_a = right_a[other];
    constant[at] = multiply(b, other_b, modulus);
    linear[at] = reduce((DoubleWord)b * other_a + (DoubleWord)a * other_b, modulus);
    quadratic[at] = multiply(a, other_a, modulus);
}

// Copies limbs from anywhere in one polynomial to anywhere in another.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    copy_limbs(Word *__restrict__ target, const Word *__restrict__ target_limbs, const Word *__restrict__ source,
               const Word *__restrict__ source_limbs, Word log_degree) {
    const Word i = word_of_thread();
    target[word_at(target_limbs[blockIdx.y], log_degree, i)] =
        source[word_at(source_limbs[blockIdx.y], log_degree, i)];
}
