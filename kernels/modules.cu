// Strided maps between rings, module rows, and products with integer matrices: coefficients modulo one prime.
//
// Threads along x unless a kernel says otherwise; those past the end have nothing to do.
#include "operands.cuh"

// target_i = source_(offset + i stride).
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    gather_strided(Word *__restrict__ target, const Word *__restrict__ source, Word count, Word offset, Word stride) {
    const Word i = word_of_thread();
    if (i < count) target[i] = source[offset + i * stride];
}

// target_(offset + i stride) = source_i.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    scatter_strided(Word *__restrict__ target, const Word *__restrict__ source, Word count, Word offset, Word stride) {
    const Word i = word_of_thread();
    if (i < count) target[offset + i * stride] = source[i];
}

// Rows of the matrices B and A of ciphertexts (b, a), a pair of addresses each, as fhe_ring::Backend::module_rows
// defines them. Grid: rows along x, columns of A along y.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    module_rows(Word *__restrict__ b_rows, Word *__restrict__ a_rows, const Word *const *__restrict__ ciphertexts,
                Word group, Word tokens, Word log_degree, const Modulus *__restrict__ moduli) {
    const Word row = blockIdx.x;
    const Word column = (Word)blockIdx.y * blockDim.x + threadIdx.x;
    const Word degree = (Word)1 << log_degree;
    const Word rank = degree / tokens;
    const Word within = row % (group * rank);
    const Word i = within / group;
    const Word ciphertext = row / (group * rank) * group + within % group;
    const Word *b = ciphertexts[2 * ciphertext], *a = ciphertexts[2 * ciphertext + 1];
    if (column < tokens) b_rows[row * tokens + column] = b[i + column * rank];
    if (column >= degree) return;
    const Word j = column / tokens, x = column % tokens;
    // A_(i,j) = a_(i-j) for j <= i, else Y a_(rank+i-j) with Y^tokens = -1.
    const Word index = i - j + x * rank;
    const Word entry = j > i && x == 0 ? negate(a[index + degree], moduli[0].value) : a[index];
    a_rows[row * degree + column] = entry;
}

// target = sum_row X^row M_row(X^stride) for `stride` rows of a matrix from row `first` on, those past the end zero, with
// M_row the `tokens` entries from `column` on.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    gather_rows(Word *__restrict__ target, const Word *__restrict__ matrix, Word rows, Word columns, Word first,
                Word column, Word stride) {
    const Word k = word_of_thread();
    const Word row = first + k % stride;
    target[k] = row < rows ? matrix[row * columns + column + k / stride] : 0;
}

// Rows of the result that a thread forms together, so that a residue is fetched once for all of them.
constexpr unsigned ROWS_TOGETHER = 8;

// Stores sums of a column of so many rows from `first` on, those past the end left out.
__device__ inline void store_sums(Word *__restrict__ target, const __int128 *sums, Word first, Word rows, Word columns,
                                  Word column, const Modulus &modulus) {
#pragma unroll
    for (unsigned r = 0; r < ROWS_TOGETHER; r++) {
        if (first + r < rows) {
            const DoubleWord magnitude = sums[r] < 0 ? -(DoubleWord)sums[r] : (DoubleWord)sums[r];
            const Word residue = reduce(magnitude, modulus);
            target[(first + r) * columns + column] = sums[r] < 0 ? negate(residue, modulus.value) : residue;
        }
    }
}

// target = weights matrix modulo the prime at position 0, exactly. Grid: columns of the result along x, rows of it along
// y, ROWS_TOGETHER a block. A term is below 2^65, so the sums of any matrix that fits in memory stay below 2^127.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    integer_product(Word *__restrict__ target, const short *__restrict__ weights, const Word *__restrict__ matrix,
                    Word rows, Word columns, Word inner, const Modulus *__restrict__ moduli) {
    const Word column = word_of_thread();
    if (column >= columns) return;
    const Word first = (Word)blockIdx.y * ROWS_TOGETHER;
    __int128 sums[ROWS_TOGETHER] = {};
    for (Word k = 0; k < inner; k++) {
        const __int128 residue = matrix[k * columns + column];
#pragma unroll
        for (unsigned r = 0; r < ROWS_TOGETHER; r++) {
            // Past the end the last row's sum is formed again and not stored.
            const Word row = first + r < rows ? first + r : rows - 1;
            sums[r] += residue * weights[row * inner + k];
        }
    }
    store_sums(target, sums, first, rows, columns, column, moduli[0]);
}

// The same for the module rows of `groups * group` ciphertexts (b, a), a pair of addresses each, that are not written down:
// weights B (half 0, one block) or weights A (half 1, `rank` blocks), with the matrices of fhe_ring::Backend::module_rows. Grid
// as for integer_product.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    module_product(Word *__restrict__ target, const short *__restrict__ weights,
                   const Word *const *__restrict__ ciphertexts, Word half, Word blocks, Word rows, Word groups, Word group,
                   Word tokens, Word rank, const Modulus *__restrict__ moduli) {
    const Word thread = word_of_thread();
    if (thread >= blocks * tokens) return;
    // Neighbouring threads read neighbouring coefficients: those of one token and all blocks.
    const Word j = thread % blocks, x = thread / blocks;
    const Word first = (Word)blockIdx.y * ROWS_TOGETHER, inner = groups * group * rank;
    const Word value = moduli[0].value;
    __int128 sums[ROWS_TOGETHER] = {};
    Word k = 0;
    for (Word big = 0; big < groups; big++) {
        for (Word i = 0; i < rank; i++) {
            // A_(i,j) = a_(i-j) for j <= i, else Y a_(rank+i-j) with Y^tokens = -1; block 0 is B's formula too.
            const bool wraps = j > i && x == 0;
            const Word index = i - j + x * rank + (wraps ? tokens * rank : 0);
            for (Word small = 0; small < group; small++, k++) {
                const Word entry = ciphertexts[2 * (big * group + small) + half][index];
                const __int128 residue = wraps ? negate(entry, value) : entry;
#pragma unroll
                for (unsigned r = 0; r < ROWS_TOGETHER; r++) {
                    const Word row = first + r < rows ? first + r : rows - 1;
                    sums[r] += residue * weights[row * inner + k];
                }
            }
        }
    }
    store_sums(target, sums, first, rows, blocks * tokens, j * tokens + x, moduli[0]);
}
