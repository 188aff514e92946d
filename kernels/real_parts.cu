// Between the cyclotomic and the conjugate-invariant ring of one degree, on values.
//
// The squares of the points 2j and 2j + 1 of the conjugate-invariant ring, which are negatives of each other, are both
// point j of the cyclotomic ring, and the squares of their inverses point N - 1 - j. So both maps are butterflies between
// the pair 2j, 2j + 1 on one side and j, N - 1 - j on the other. The factor x of a pair is the point 2j, node N / 2 + j
// of the conjugate-invariant ring's forward heap; the inverse heap has 1 / x there.
//
// One thread for each pair: the grid tiles half a limb by limbs.
#include "operands.cuh"
#include "transform_layers.cuh"

// target = trace of even(X^2) + X odd(X^2); of X^N times that if turned. With A and B at the points, A' and B' at their
// inverses: (A + A') +- (x B + B' / x), turned I ((A - A') +- (x B - B' / x)).
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    trace(Word *__restrict__ target, const Word *__restrict__ even, const Word *__restrict__ odd, Word turned,
          Word log_degree, const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
          const Multiplier *__restrict__ forward_heaps, const Multiplier *__restrict__ inverse_heaps) {
    const Word j = word_of_thread();
    const Word degree = (Word)1 << log_degree;
    const Word prime = primes[blockIdx.y];
    const Multiplier unit = constants[prime].imaginary_unit;
    const Word p = constants[prime].modulus.value;
    const Word entry = word_at(prime, log_degree, heap_entry(degree / 2 + j, log_degree));
    const Word limb = word_at(blockIdx.y, log_degree, 0);
    const Word a = even[limb + j], inverted_a = even[limb + degree - 1 - j];
    const Word b = multiply(odd[limb + j], forward_heaps[entry], p);
    const Word inverted_b = multiply(odd[limb + degree - 1 - j], inverse_heaps[entry], p);
    Word fixed = add(a, inverted_a, p), signed_part = add(b, inverted_b, p);
    if (turned) {
        fixed = multiply(subtract(a, inverted_a, p), unit, p);
        signed_part = multiply(subtract(b, inverted_b, p), unit, p);
    }
    target[limb + 2 * j] = add(fixed, signed_part, p);
    target[limb + 2 * j + 1] = subtract(fixed, signed_part, p);
}

// even and odd with even(X^2) + X odd(X^2) = source.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    parity_split(Word *__restrict__ even, Word *__restrict__ odd, const Word *__restrict__ source, Word log_degree,
                 const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                 const Multiplier *__restrict__ forward_heaps, const Multiplier *__restrict__ inverse_heaps) {
    const Word j = word_of_thread();
    const Word degree = (Word)1 << log_degree;
    const Word prime = primes[blockIdx.y];
    const Word p = constants[prime].modulus.value;
    const Word entry = word_at(prime, log_degree, heap_entry(degree / 2 + j, log_degree));
    const Word limb = word_at(blockIdx.y, log_degree, 0);
    const Word at_point = source[limb + 2 * j], at_negative = source[limb + 2 * j + 1];
    Word half_sum = add(at_point, at_negative, p), half_difference = subtract(at_point, at_negative, p);
    // An odd residue plus p is even.
    half_sum = (half_sum + (half_sum & 1) * p) / 2;
    half_difference = (half_difference + (half_difference & 1) * p) / 2;
    even[limb + j] = half_sum;
    even[limb + degree - 1 - j] = half_sum;
    odd[limb + j] = multiply(half_difference, inverse_heaps[entry], p);
    odd[limb + degree - 1 - j] = multiply(half_difference, forward_heaps[entry], p);
}
