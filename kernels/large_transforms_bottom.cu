// The bottom launch of the transforms of large limbs: the layers within rows.
#include "large_transforms.cuh"

// Shared memory for a row, with a gap after every 16 words that keeps threads whose words are 16 apart out of each other's
// banks.
constexpr unsigned PADDED_ROW_WORDS = ROW_WORDS + ROW_WORDS / GROUP_WORDS;
constexpr unsigned ROW_THREADS = ROW_WORDS / GROUP_WORDS;
constexpr unsigned BOTTOM_THREADS = 128;
constexpr unsigned ROWS_OF_BLOCK = BOTTOM_THREADS / ROW_THREADS;

// A thread and the row that it works on with its 15 neighbours, all of one warp: their words change hands in a stretch of
// shared memory of their own, which also holds the factors of the row's upper layers.
struct RowThread {
    unsigned row;
    unsigned lane;
    Word *exchange;
    // Node k of the row at place k; place 0 is unused.
    Multiplier *upper_heap;

    __device__ RowThread()
        : row(blockIdx.x * ROWS_OF_BLOCK + threadIdx.x / ROW_THREADS),
          lane(threadIdx.x % ROW_THREADS),
          exchange(shared + threadIdx.x / ROW_THREADS * PADDED_ROW_WORDS),
          upper_heap((Multiplier *)(shared + ROWS_OF_BLOCK * PADDED_ROW_WORDS) +
                     threadIdx.x / ROW_THREADS * GROUP_WORDS) {}

    // Word i of those that are 16 apart, and of those that are neighbours.
    __device__ __forceinline__ Word &strided(unsigned i) const { return exchange[i * (GROUP_WORDS + 1) + lane]; }
    __device__ __forceinline__ Word &adjacent(unsigned i) const { return exchange[lane * (GROUP_WORDS + 1) + i]; }
    // The position of a strided word in its limb.
    __device__ __forceinline__ unsigned position(unsigned i) const { return row * ROW_WORDS + i * GROUP_WORDS + lane; }

    // Fetches the factors of the upper layers, one for each of the row's threads: all at once instead of layer by layer.
    __device__ __forceinline__ void fetch_upper(const Multiplier *heap, Word log_degree) const {
        const unsigned depth = lane == 0 ? 0 : 31 - __clz(lane);
        const unsigned root = (1u << (log_degree - LOG_ROW)) + row;
        upper_heap[lane] = heap[(root << depth) + lane - (1u << depth)];
    }
    __device__ __forceinline__ InnerFactors upper() const { return {upper_heap, 1}; }
    __device__ __forceinline__ GroupFactors lower(const Multiplier *heap, Word log_degree) const {
        return {heap, 1u << (log_degree - GROUP), row * ROW_THREADS + lane};
    }
};

// What a forward transform leaves: its values.
struct Values {
    __device__ __forceinline__ Word operator()(Word value, unsigned) const { return value; }
};

// Or a quotient: the dividend's values less these, which are a remainder's, times an inverse.
struct Quotient {
    const Word *dividend;
    Multiplier inverse;
    Word p;

    __device__ __forceinline__ Word operator()(Word remainder, unsigned position) const {
        return multiply(dividend[position] + p - remainder, inverse, p);
    }
};

template <class Finish>
static __device__ __forceinline__ void split_rows(const TransformedLimb &limb, Word log_degree, const Multiplier *heap,
                                                  const Modulus &modulus, const Finish &finish) {
    const RowThread thread;
    Word words[GROUP_WORDS];
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) words[i] = limb.source[thread.position(i)];
    thread.fetch_upper(heap, log_degree);
    __syncwarp();
    split<GROUP>(words, thread.upper(), modulus.value);
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) thread.strided(i) = words[i];
    __syncwarp();
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) words[i] = thread.adjacent(i);
    split<GROUP>(words, thread.lower(heap, log_degree), modulus.value);
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) thread.adjacent(i) = reduce(words[i], modulus);
    __syncwarp();
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) {
        const unsigned position = thread.position(i);
        limb.target[position] = finish(thread.strided(i), position);
    }
}

extern "C" __global__ void __launch_bounds__(BOTTOM_THREADS)
    forward_bottom(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                   const Word *__restrict__ source_limbs, Word log_degree,
                   Word /* the rows of both rings are the same */, const Word *__restrict__ primes,
                   const TransformConstants *__restrict__ constants, const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    split_rows(TransformedLimb(target, target_limbs, source, source_limbs, log_degree), log_degree,
               heaps + (prime << log_degree), constants[prime].modulus, Values{});
}

// The same at the end of a division: the remainder's values do not go to memory.
extern "C" __global__ void __launch_bounds__(BOTTOM_THREADS, BOTTOM_BLOCKS)
    forward_bottom_of_division(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                               const Word *__restrict__ source_limbs, Word log_degree,
                               Word /* the rows of both rings are the same */, const Word *__restrict__ primes,
                               const TransformConstants *__restrict__ constants,
                               const Multiplier *__restrict__ heaps, const Word *__restrict__ dividend,
                               const Word *__restrict__ dividend_limbs, const Multiplier *__restrict__ inverses) {
    const Word prime = primes[blockIdx.y];
    const Modulus modulus = constants[prime].modulus;
    const Word *dividend_limb = dividend + (dividend_limbs[blockIdx.y] << log_degree);
    split_rows(TransformedLimb(target, target_limbs, source, source_limbs, log_degree), log_degree,
               heaps + (prime << log_degree), modulus, Quotient{dividend_limb, inverses[blockIdx.y], modulus.value});
}

extern "C" __global__ void __launch_bounds__(BOTTOM_THREADS, BOTTOM_BLOCKS)
    inverse_bottom(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                   const Word *__restrict__ source_limbs, Word log_degree, Word /* the rows of both rings are the same */,
                   const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                   const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const Modulus modulus = constants[prime].modulus;
    const Multiplier *heap = heaps + (prime << log_degree);
    const TransformedLimb limb(target, target_limbs, source, source_limbs, log_degree);
    const RowThread thread;
    Word words[GROUP_WORDS];
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) thread.strided(i) = limb.source[thread.position(i)];
    thread.fetch_upper(heap, log_degree);
    __syncwarp();
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) words[i] = thread.adjacent(i);
    merge<GROUP>(words, thread.lower(heap, log_degree), modulus);
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) thread.adjacent(i) = words[i];
    __syncwarp();
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) words[i] = thread.strided(i);
    merge<GROUP>(words, thread.upper(), modulus);
#pragma unroll
    for (unsigned i = 0; i < GROUP_WORDS; i++) limb.target[thread.position(i)] = words[i];
}
