// Number-theoretic transforms of both ring kinds, on any limbs of a polynomial at once, in place or from another one.
//
// Up to N = 2^12 one block keeps a limb in shared memory. Beyond, the limb is a matrix of 16 rows: one launch runs the
// top four layers along its columns, in registers, another the remaining layers along each row. The inverse takes the
// two in the opposite order. transform_layers.cuh has the tree and the arithmetic, ABI.md the launch shapes and
// arguments.
//
// Words enter and leave a transform in 0..p. Between the two launches of a larger one they are below 11p (forward) or
// below 2p (inverse).
#include "operands.cuh"
#include "transform_layers.cuh"

// Layers that a thread runs on 16 words in registers before words change hands.
constexpr unsigned GROUP = 4;
constexpr unsigned GROUP_WORDS = 1 << GROUP;
// Rows of more than 2^12 words do not fit in 48 KiB of shared memory.
constexpr unsigned LOG_ROW_LIMIT = 12;
constexpr unsigned ROW_THREADS = (1 << LOG_ROW_LIMIT) / GROUP_WORDS;
constexpr unsigned COLUMN_THREADS = 128;

extern __shared__ Word shared[];

// Where word i of a row lies in shared memory. The gap after every 16 words keeps threads whose words are 16 apart out
// of each other's banks.
static __device__ __forceinline__ unsigned padded(unsigned i) { return i + i / GROUP_WORDS; }

// A limb that is transformed, and where its words come from, which may be the same place.
struct Limb {
    Word *target;
    const Word *source;

    __device__ Limb(Word *target, const Word *target_limbs, const Word *source, const Word *source_limbs,
                    Word log_degree)
        : target(target + (target_limbs[blockIdx.y] << log_degree)),
          source(source + (source_limbs[blockIdx.y] << log_degree)) {}
};

// --- rows: the layers below nodes that fit in shared memory ----------------------------------------------------------

// The row of a block: the limb is blockIdx.y, the row blockIdx.x.
struct Row {
    // Binary logarithms of the words of a row and of the limb.
    unsigned log_words;
    unsigned log_degree;
    Word *target;
    const Word *source;
    // The row's position in the heap.
    unsigned node;
    const Multiplier *heap;

    __device__ Row(const Limb &limb, unsigned log_degree, Word prime, const Multiplier *heaps)
        : log_words(gridDim.x == 1 ? log_degree : log_degree - GROUP),
          log_degree(log_degree),
          target(limb.target + (blockIdx.x << log_words)),
          source(limb.source + (blockIdx.x << log_words)),
          node(gridDim.x + blockIdx.x),
          heap(heaps + (prime << log_degree)) {}

    // Whether the row is the whole limb, so that no other launch takes part in the transform.
    __device__ bool is_limb() const { return log_words == log_degree; }
    __device__ unsigned size() const { return 1u << log_words; }
    __device__ unsigned mirror(unsigned i) const { return (size() - i) & (size() - 1); }
};

// The words of a row that meet in a group of layers: `spacing` apart, below `node`.
struct Group {
    unsigned node;
    unsigned first;
    unsigned spacing;

    // The index-th group of the layers that begin at `depth` below the row.
    __device__ Group(const Row &row, unsigned depth, unsigned layers, unsigned index) {
        const unsigned log_spacing = row.log_words - depth - layers;
        const unsigned position = index >> log_spacing;
        spacing = 1u << log_spacing;
        node = (row.node << depth) + position;
        first = (position << (log_spacing + layers)) + (index & (spacing - 1));
    }

    __device__ __forceinline__ Word &word(unsigned i) const { return shared[padded(first + i * spacing)]; }
};

template <unsigned LAYERS>
static __device__ __forceinline__ void split_groups(const Row &row, unsigned depth, Word p) {
    __syncthreads();
    for (unsigned index = threadIdx.x; index < row.size() >> LAYERS; index += blockDim.x) {
        const Group group(row, depth, LAYERS, index);
        Word words[1 << LAYERS];
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) words[i] = group.word(i);
        split<LAYERS>(words, row.heap, group.node, p);
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) group.word(i) = words[i];
    }
}

template <unsigned LAYERS>
static __device__ __forceinline__ void merge_groups(const Row &row, unsigned depth, const Modulus &modulus) {
    __syncthreads();
    for (unsigned index = threadIdx.x; index < row.size() >> LAYERS; index += blockDim.x) {
        const Group group(row, depth, LAYERS, index);
        Word words[1 << LAYERS];
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) words[i] = group.word(i);
        merge<LAYERS>(words, row.heap, group.node, modulus);
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) group.word(i) = words[i];
    }
}

// All layers of a limb of up to 2^12 words, or the layers below the top four of a larger one, whose columns come first.
// Grid: rows by limbs.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
    forward_rows(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                 const Word *__restrict__ source_limbs, Word log_degree, Word conjugate_invariant,
                 const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                 const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const TransformConstants constant = constants[prime];
    const Word p = constant.modulus.value;
    const Row row(Limb(target, target_limbs, source, source_limbs, log_degree), log_degree, prime, heaps);
    const bool fold = conjugate_invariant && row.is_limb();
    for (unsigned i = threadIdx.x; i < row.size(); i += blockDim.x) {
        const Word word = row.source[i];
        shared[padded(i)] = fold ? folded(i, word, row.source[row.mirror(i)], constant) : word;
    }
    const unsigned remainder = row.log_words % GROUP;
    switch (remainder) {
        case 1: split_groups<1>(row, 0, p); break;
        case 2: split_groups<2>(row, 0, p); break;
        case 3: split_groups<3>(row, 0, p); break;
    }
    for (unsigned depth = remainder; depth < row.log_words; depth += GROUP) split_groups<GROUP>(row, depth, p);
    __syncthreads();
    for (unsigned i = threadIdx.x; i < row.size(); i += blockDim.x) {
        row.target[i] = reduce(shared[padded(i)], constant.modulus);
    }
}

// Undoes `forward_rows`. If the columns of a larger limb follow, words leave in 0..2p and not normalised.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
    inverse_rows(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                 const Word *__restrict__ source_limbs, Word log_degree, Word conjugate_invariant,
                 const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                 const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const TransformConstants constant = constants[prime];
    const Word p = constant.modulus.value;
    const Row row(Limb(target, target_limbs, source, source_limbs, log_degree), log_degree, prime, heaps);
    for (unsigned i = threadIdx.x; i < row.size(); i += blockDim.x) shared[padded(i)] = row.source[i];
    const unsigned remainder = row.log_words % GROUP;
    for (unsigned depth = row.log_words; depth > remainder; depth -= GROUP) {
        merge_groups<GROUP>(row, depth - GROUP, constant.modulus);
    }
    switch (remainder) {
        case 1: merge_groups<1>(row, 0, constant.modulus); break;
        case 2: merge_groups<2>(row, 0, constant.modulus); break;
        case 3: merge_groups<3>(row, 0, constant.modulus); break;
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < row.size(); i += blockDim.x) {
        Word word = shared[padded(i)];
        if (conjugate_invariant && row.is_limb()) word = unfolded(i, word, shared[padded(row.mirror(i))], constant);
        row.target[i] = row.is_limb() ? multiply(word, constant.normalisation, p) : word;
    }
}

// --- columns: the top four layers of larger limbs --------------------------------------------------------------------

// The column of a thread, 16 words a row apart. Columns k and C - k of C hold each other's mirror images; columns 0 and
// C / 2 hold their own. A block has both columns of each of its pairs, one in either half of its threads.
struct Column {
    unsigned index;
    // The thread of the same block whose column holds the mirror images.
    unsigned partner;
    unsigned spacing;
    Word *target;
    const Word *source;

    __device__ Column(const Limb &limb, unsigned log_degree) {
        const unsigned pairs = COLUMN_THREADS / 2;
        const unsigned pair = blockIdx.x * pairs + threadIdx.x % pairs;
        spacing = 1u << (log_degree - GROUP);
        index = threadIdx.x < pairs ? pair : pair == 0 ? spacing / 2 : spacing - pair;
        partner = pair == 0 ? threadIdx.x : threadIdx.x ^ pairs;
        target = limb.target + index;
        source = limb.source + index;
    }

    __device__ __forceinline__ void load(Word (&words)[GROUP_WORDS]) const {
#pragma unroll
        for (unsigned i = 0; i < GROUP_WORDS; i++) words[i] = source[i * spacing];
    }

    // The position of word i in its limb.
    __device__ unsigned position(unsigned i) const { return i * spacing + index; }

    // Shows the block's threads each other's words.
    __device__ __forceinline__ void share(const Word (&own)[GROUP_WORDS]) const {
#pragma unroll
        for (unsigned i = 0; i < GROUP_WORDS; i++) shared[i * COLUMN_THREADS + threadIdx.x] = own[i];
        __syncthreads();
    }

    // The mirror image of word i, after `share`. Row i faces row 15 - i, but in column 0 row 16 - i.
    __device__ __forceinline__ Word mirror(unsigned i) const {
        const unsigned row = (GROUP_WORDS - i - (index != 0)) % GROUP_WORDS;
        return shared[row * COLUMN_THREADS + partner];
    }
};

// The fold and the top four layers of a limb of more than 2^12 words. Grid: columns / COLUMN_THREADS by limbs. Words
// leave below 11p.
extern "C" __global__ void __launch_bounds__(COLUMN_THREADS)
    forward_columns(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                    const Word *__restrict__ source_limbs, Word log_degree, Word conjugate_invariant,
                    const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                    const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const TransformConstants constant = constants[prime];
    const Column column(Limb(target, target_limbs, source, source_limbs, log_degree), log_degree);
    Word words[GROUP_WORDS];
    column.load(words);
    if (conjugate_invariant) {
        column.share(words);
#pragma unroll
        for (unsigned i = 0; i < GROUP_WORDS; i++) {
            words[i] = folded(column.position(i), words[i], column.mirror(i), constant);
        }
    }
    split<GROUP>(words, heaps + (prime << log_degree), 1, constant.modulus.value);
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) column.target[i * column.spacing] = words[i];
}

// Undoes `forward_columns` and normalises: the last launch of a larger inverse transform.
extern "C" __global__ void __launch_bounds__(COLUMN_THREADS)
    inverse_columns(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                    const Word *__restrict__ source_limbs, Word log_degree, Word conjugate_invariant,
                    const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                    const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const TransformConstants constant = constants[prime];
    const Column column(Limb(target, target_limbs, source, source_limbs, log_degree), log_degree);
    Word words[GROUP_WORDS];
    column.load(words);
    merge<GROUP>(words, heaps + (prime << log_degree), 1, constant.modulus);
    if (conjugate_invariant) {
        column.share(words);
#pragma unroll
        for (unsigned i = 0; i < GROUP_WORDS; i++) {
            words[i] = unfolded(column.position(i), words[i], column.mirror(i), constant);
        }
    }
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) {
        column.target[i * column.spacing] = multiply(words[i], constant.normalisation, constant.modulus.value);
    }
}
