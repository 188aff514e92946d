// Polynomials of integer weights: coefficients modulo one prime.
#include "operands.cuh"

// The weight polynomials of the results `first` .. of fhe_ring::Backend::weight_products, `inputs` to a result, one limb after the
// other: for result o of `results` and input J
//
//     sum_i X^(2^log_block i) sum_c W[o + results i, 2^log_block J + c] X^-c
//
// with a matrix W of `rows` rows and `columns` columns; entries beyond it are zero. Coefficient 2^log_block i - c is that of row i
// and column c; the columns of row 0 but the first come round the end and change their sign.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    weight_polynomials(Word *__restrict__ target, const short *__restrict__ weights, Word rows, Word columns,
                       Word log_block, Word inputs, Word first, Word results, Word log_degree,
                       const Modulus *__restrict__ modulus) {
    const Word k = word_of_thread();
    const Word result = first + blockIdx.y / inputs, input = blockIdx.y % inputs;
    const Word block = (Word)1 << log_block;
    const Word i = (k + block - 1) >> log_block;
    const bool wrapped = i << log_block == (Word)1 << log_degree;
    const Word row = result + (wrapped ? 0 : i * results);
    const Word column = (input << log_block) + (i << log_block) - k;
    Word word = 0;
    if (row < rows && column < columns) {
        const int weight = weights[row * columns + column];
        const Word residue = reduce((Word)(weight < 0 ? -weight : weight), *modulus);
        word = (weight < 0) != wrapped ? negate(residue, modulus->value) : residue;
    }
    target[word_at(blockIdx.y, log_degree, k)] = word;
}
