// Ciphertexts times matrices of factors from a subring.
#include "operands.cuh"

// Sums that a thread forms together, in registers.
constexpr unsigned SUBRING_SUMS = 4;

// For sum o and half h:
//
//   targets[o][h] = sum_i factors[o][i] inputs[i][h]
//
// with the addresses of all halves, and of a factor for each sum and input: polynomials of 2^log_points words a limb, each of
// which is the factor's value at a run of 2^(log_degree - log_points) words. All have the limbs of the result. Grid: blocks
// of words along x, limbs along y, groups of SUBRING_SUMS sums along z. Up to 2^27 inputs.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    subring_sums(Word *const *__restrict__ targets, const Word *const *__restrict__ inputs,
                 const Word *const *__restrict__ factors, Word input_count, Word sum_count, Word log_points,
                 Word log_degree, const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word limb = blockIdx.y;
    const unsigned first_sum = blockIdx.z * SUBRING_SUMS;
    const unsigned used_sums = (unsigned)sum_count - first_sum;
    const Word at = word_at(limb, log_degree, word_of_thread());
    const Word point = word_at(limb, log_points, word_of_thread() >> (log_degree - log_points));
    const Modulus modulus = moduli[primes[limb]];
    DoubleWord sums[SUBRING_SUMS][2] = {};
    for (Word i = 0; i < input_count; i++) {
        const Word first = __ldg(inputs[2 * i] + at), second = __ldg(inputs[2 * i + 1] + at);
#pragma unroll
        for (unsigned s = 0; s < SUBRING_SUMS; s++) {
            const Word number = s < used_sums ? __ldg(factors[(first_sum + s) * input_count + i] + point) : 0;
            sums[s][0] += (DoubleWord)first * number;
            sums[s][1] += (DoubleWord)second * number;
        }
    }
#pragma unroll
    for (unsigned s = 0; s < SUBRING_SUMS; s++) {
        if (s < used_sums) {
            Word *const *halves = targets + (first_sum + s) * 2;
            halves[0][at] = reduce(sums[s][0], modulus);
            halves[1][at] = reduce(sums[s][1], modulus);
        }
    }
}
