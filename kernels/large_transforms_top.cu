// The top launch of the transforms of large limbs: the layers above rows, along columns, and the fold.
#include "large_transforms.cuh"

constexpr unsigned TILE_COLUMNS = 16;
// One for each row of a tile.
constexpr unsigned TOP_THREADS = 256;

// The tile of a block, in shared memory row by row, and the column of it in which a thread works. In the
// conjugate-invariant ring columns k and 256 - k hold each other's mirror images, columns 0 and 128 their own; a tile has
// eight of the one and their partners.
struct TileThread {
    unsigned rows;
    // The first of the thread's rows where nothing must meet.
    unsigned row;
    unsigned slot;
    unsigned column;
    // The slot whose column holds the mirror images.
    unsigned partner;
    // The factors of all nodes above rows, in shared memory behind the tile.
    Multiplier *heap;

    __device__ TileThread(Word log_degree, bool paired)
        : rows(1u << (log_degree - LOG_ROW)), row(threadIdx.x / TILE_COLUMNS), slot(threadIdx.x % TILE_COLUMNS) {
        heap = (Multiplier *)(shared + rows * TILE_COLUMNS);
        if (!paired) {
            column = blockIdx.x * TILE_COLUMNS + slot;
            partner = slot;
            return;
        }
        const unsigned pairs = TILE_COLUMNS / 2;
        const unsigned pair = blockIdx.x * pairs + slot % pairs;
        column = slot < pairs ? pair : pair == 0 ? ROW_WORDS / 2 : ROW_WORDS - pair;
        partner = pair == 0 ? slot : slot ^ pairs;
    }

    // Fetches the factors, one for each thread: all at once instead of layer by layer. Node 0 is unused.
    __device__ __forceinline__ void fetch_factors(const Multiplier *factors) const {
        heap[threadIdx.x] = factors[threadIdx.x];
    }

    // A word of the thread's column.
    __device__ __forceinline__ Word &shared_word(unsigned row) const { return shared[row * TILE_COLUMNS + slot]; }
    // Its mirror image: row r faces row -1 - r, but in column 0 row -r.
    __device__ __forceinline__ Word mirror(unsigned row) const {
        return shared[((2 * rows - row - (column != 0)) & (rows - 1)) * TILE_COLUMNS + partner];
    }
    // Its position in the limb.
    __device__ __forceinline__ unsigned position(unsigned row) const { return row * ROW_WORDS + column; }
    // Rows between the words of a thread where nothing must meet.
    __device__ __forceinline__ unsigned spread() const { return rows / GROUP_WORDS; }
};

// The thread's words in shared memory, folded: those that `split_top` gives it.
static __device__ __forceinline__ void load_folded(const TileThread &thread, const Word *source,
                                                   const TransformConstants &constant) {
    Word words[GROUP_WORDS];
    for (unsigned i = 0; i < GROUP_WORDS; i++) {
        const unsigned row = thread.row + i * thread.spread();
        thread.shared_word(row) = source[thread.position(row)];
    }
    __syncthreads();
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) {
        const unsigned row = thread.row + i * thread.spread();
        words[i] = folded(thread.position(row), thread.shared_word(row), thread.mirror(row), constant);
    }
    __syncthreads();
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) thread.shared_word(thread.row + i * thread.spread()) = words[i];
}

// The layers from the root down to those of the groups, LAYERS of them, from the source, or from shared memory if that is
// null, into shared memory.
template <unsigned LAYERS>
static __device__ __forceinline__ void split_top(const TileThread &thread, const Word *source, Word p) {
    const unsigned spacing = thread.rows >> LAYERS;
#pragma unroll 1
    for (unsigned turn = 0; turn < GROUP_WORDS >> LAYERS; turn++) {
        const unsigned first = thread.row + turn * thread.spread();
        Word words[1 << LAYERS];
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) {
            const unsigned row = first + i * spacing;
            words[i] = source == nullptr ? thread.shared_word(row) : source[thread.position(row)];
        }
        split<LAYERS>(words, InnerFactors{thread.heap, 1}, p);
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) thread.shared_word(first + i * spacing) = words[i];
    }
}

extern "C" __global__ void __launch_bounds__(TOP_THREADS, FORWARD_TOP_BLOCKS)
    forward_top(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                const Word *__restrict__ source_limbs, Word log_degree, Word conjugate_invariant,
                const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const Word p = constants[prime].modulus.value;
    const TransformedLimb limb(target, target_limbs, source, source_limbs, log_degree);
    const TileThread thread(log_degree, conjugate_invariant);
    thread.fetch_factors(heaps + (prime << log_degree));
    if (conjugate_invariant) load_folded(thread, limb.source, constants[prime]);
    __syncthreads();
    const Word *unfolded_words = conjugate_invariant ? nullptr : limb.source;
    switch (log_degree - LOG_ROW) {
        case 5: split_top<1>(thread, unfolded_words, p); break;
        case 6: split_top<2>(thread, unfolded_words, p); break;
        case 7: split_top<3>(thread, unfolded_words, p); break;
        case 8: split_top<4>(thread, unfolded_words, p); break;
    }
    __syncthreads();
    Word words[GROUP_WORDS];
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) words[i] = thread.shared_word(thread.row * GROUP_WORDS + i);
    split<GROUP>(words, InnerFactors{thread.heap, thread.spread() + thread.row}, p);
    Word *column = limb.target + thread.position(thread.row * GROUP_WORDS);
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) column[i * ROW_WORDS] = words[i];
}

// Undoes `split_top`. Normalised words go to the target, or to shared memory as they are if that is null.
template <unsigned LAYERS>
static __device__ __forceinline__ void merge_top(const TileThread &thread, Word *target,
                                                 const TransformConstants &constant) {
    const unsigned spacing = thread.rows >> LAYERS;
#pragma unroll 1
    for (unsigned turn = 0; turn < GROUP_WORDS >> LAYERS; turn++) {
        const unsigned first = thread.row + turn * thread.spread();
        Word words[1 << LAYERS];
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) words[i] = thread.shared_word(first + i * spacing);
        merge<LAYERS>(words, InnerFactors{thread.heap, 1}, constant.modulus);
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) {
            const unsigned row = first + i * spacing;
            if (target == nullptr) {
                thread.shared_word(row) = words[i];
            } else {
                target[thread.position(row)] = multiply(words[i], constant.normalisation, constant.modulus.value);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(TOP_THREADS, INVERSE_TOP_BLOCKS)
    inverse_top(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                const Word *__restrict__ source_limbs, Word log_degree, Word conjugate_invariant,
                const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const TransformConstants &constant = constants[prime];
    const TransformedLimb limb(target, target_limbs, source, source_limbs, log_degree);
    const TileThread thread(log_degree, conjugate_invariant);
    Word words[GROUP_WORDS];
    const Word *column = limb.source + thread.position(thread.row * GROUP_WORDS);
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) words[i] = column[i * ROW_WORDS];
    thread.fetch_factors(heaps + (prime << log_degree));
    __syncthreads();
    merge<GROUP>(words, InnerFactors{thread.heap, thread.spread() + thread.row}, constant.modulus);
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) thread.shared_word(thread.row * GROUP_WORDS + i) = words[i];
    __syncthreads();
    Word *unfolded_words = conjugate_invariant ? nullptr : limb.target;
    switch (log_degree - LOG_ROW) {
        case 5: merge_top<1>(thread, unfolded_words, constant); break;
        case 6: merge_top<2>(thread, unfolded_words, constant); break;
        case 7: merge_top<3>(thread, unfolded_words, constant); break;
        case 8: merge_top<4>(thread, unfolded_words, constant); break;
    }
    if (!conjugate_invariant) return;
    __syncthreads();
    for (unsigned i = 0; i < GROUP_WORDS; i++) {
        const unsigned row = thread.row + i * thread.spread(), position = thread.position(row);
        const Word whole = unfolded(position, thread.shared_word(row), thread.mirror(row), constant);
        limb.target[position] = multiply(whole, constant.normalisation, constant.modulus.value);
    }
}
