// Automorphisms and products with monomials. Launches as operands.cuh says; ABI.md has the arguments.
#include "permutation.cuh"
#include "transform_layers.cuh"

// target = source(X^g) on values.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    automorphism_of_values(Word *__restrict__ target, const Word *__restrict__ source, Word multiplier, Word offset,
                           Word log_degree) {
    const unsigned i = word_of_thread();
    const unsigned from = value_moved_to(i, multiplier, offset, log_degree);
    target[word_at(blockIdx.y, log_degree, i)] = source[word_at(blockIdx.y, log_degree, from)];
}

// target += source(X^g) on values.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    accumulate_automorphism(Word *__restrict__ target, const Word *__restrict__ source, Word multiplier, Word offset,
                            Word log_degree, const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const unsigned i = word_of_thread();
    const Word at = word_at(blockIdx.y, log_degree, i);
    const unsigned from = value_moved_to(i, multiplier, offset, log_degree);
    const Word moved = source[word_at(blockIdx.y, log_degree, from)];
    target[at] = add(target[at], moved, moduli[primes[blockIdx.y]].value);
}

// target = source(X^g) on coefficients. X^k goes to X^(k g), and X^N = -1 brings it back below the degree. In the
// conjugate-invariant ring V_k = X^k + X^-k obeys V_-k = V_k and V_(2N-k) = -V_k.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    automorphism_of_coefficients(Word *__restrict__ target, const Word *__restrict__ source, Word exponent,
                                 Word conjugate_invariant, Word log_degree, const Word *__restrict__ primes,
                                 const Modulus *__restrict__ moduli) {
    const Word k = word_of_thread();
    const Word degree = (Word)1 << log_degree;
    Word image = (k * exponent) & (4 * degree - 1);
    if (conjugate_invariant) {
        if (image > 2 * degree) image = 4 * degree - image;
    } else {
        image &= 2 * degree - 1;
    }
    const bool negative = conjugate_invariant ? image > degree : image >= degree;
    if (negative) image = conjugate_invariant ? 2 * degree - image : image - degree;
    const Word coefficient = source[word_at(blockIdx.y, log_degree, k)];
    target[word_at(blockIdx.y, log_degree, image)] =
        negative ? negate(coefficient, moduli[primes[blockIdx.y]].value) : coefficient;
}

// target = X^exponent source on coefficients, cyclotomic ring, exponent below 2N.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    monomial_product_of_coefficients(Word *__restrict__ target, const Word *__restrict__ source, Word exponent,
                                     Word log_degree, const Word *__restrict__ primes,
                                     const Modulus *__restrict__ moduli) {
    const Word k = word_of_thread();
    const Word degree = (Word)1 << log_degree;
    const Word image = (k + exponent) & (2 * degree - 1);
    const Word coefficient = source[word_at(blockIdx.y, log_degree, k)];
    target[word_at(blockIdx.y, log_degree, image & (degree - 1))] =
        image >= degree ? negate(coefficient, moduli[primes[blockIdx.y]].value) : coefficient;
}

// target = X^exponent source on values, cyclotomic ring. The value of X at index i is u^(1 + 2 reverse_bits(i)) for the
// root u of order 2N, and node reverse_bits(k) of the forward heap has u^k, the unused node 0 standing for 1.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    monomial_product_of_values(Word *__restrict__ target, const Word *__restrict__ source, Word exponent,
                               Word log_degree, const Word *__restrict__ primes, const Modulus *__restrict__ moduli,
                               const Multiplier *__restrict__ heaps) {
    const unsigned i = word_of_thread();
    const Word degree = (Word)1 << log_degree;
    const Word prime = primes[blockIdx.y];
    const Word p = moduli[prime].value;
    const Word power = (exponent * (1 + 2 * reverse_bits(i, log_degree))) & (2 * degree - 1);
    const unsigned node = reverse_bits((unsigned)(power & (degree - 1)), log_degree);
    const Word at = word_at(blockIdx.y, log_degree, i);
    const Word word = source[at];
    const Word product = node == 0 ? word : multiply(word, heaps[word_at(prime, log_degree, heap_entry(node, log_degree))], p);
    target[at] = power >= degree ? negate(product, p) : product;
}
