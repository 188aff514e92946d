// Number-theoretic transforms of limbs of up to 2^12 words, in one launch: a block keeps a limb in shared memory. Any limbs
// of a polynomial at once, in place or from another one. transform_layers.cuh has the tree and the arithmetic, ABI.md the
// launch shapes and arguments.
#include "transform_layers.cuh"

// Larger limbs do not fit in 48 KiB of shared memory.
constexpr unsigned LOG_SMALL_LIMB = 12;
constexpr unsigned SMALL_THREADS = (1 << LOG_SMALL_LIMB) / GROUP_WORDS;

extern __shared__ Word shared[];

// Where word i of a limb lies in shared memory. The gap after every 16 words keeps threads whose words are 16 apart out
// of each other's banks.
static __device__ __forceinline__ unsigned padded(unsigned i) { return i + i / GROUP_WORDS; }

// The limb of a block, and its factors.
struct SmallLimb {
    unsigned log_degree;
    const Multiplier *heap;

    __device__ unsigned size() const { return 1u << log_degree; }
    __device__ unsigned mirror(unsigned i) const { return (size() - i) & (size() - 1); }
};

// The words that meet in a run of layers: `spacing` apart, below the node at `position` of its depth.
struct Meeting {
    unsigned position;
    unsigned first;
    unsigned spacing;

    // The index-th meeting of the layers that begin at `depth`.
    __device__ Meeting(const SmallLimb &limb, unsigned depth, unsigned layers, unsigned index) {
        const unsigned log_spacing = limb.log_degree - depth - layers;
        position = index >> log_spacing;
        spacing = 1u << log_spacing;
        first = (position << (log_spacing + layers)) + (index & (spacing - 1));
    }

    __device__ __forceinline__ Word &word(unsigned i) const { return shared[padded(first + i * spacing)]; }
};

// The factors of the nodes below that of a meeting of four layers, or fewer above those.
static __device__ __forceinline__ AnyFactors factors_of(const SmallLimb &limb, const Meeting &meeting, unsigned depth,
                                                        unsigned layers) {
    if (layers < GROUP || meeting.spacing > 1) return {limb.heap, (1u << depth) + meeting.position, 1};
    const unsigned groups = limb.size() / GROUP_WORDS;
    return {limb.heap + meeting.position, groups, groups};
}

template <unsigned LAYERS>
static __device__ __forceinline__ void split_limb(const SmallLimb &limb, unsigned depth, Word p) {
    __syncthreads();
    for (unsigned index = threadIdx.x; index < limb.size() >> LAYERS; index += blockDim.x) {
        const Meeting meeting(limb, depth, LAYERS, index);
        Word words[1 << LAYERS];
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) words[i] = meeting.word(i);
        split<LAYERS>(words, factors_of(limb, meeting, depth, LAYERS), p);
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) meeting.word(i) = words[i];
    }
}

template <unsigned LAYERS>
static __device__ __forceinline__ void merge_limb(const SmallLimb &limb, unsigned depth, const Modulus &modulus) {
    __syncthreads();
    for (unsigned index = threadIdx.x; index < limb.size() >> LAYERS; index += blockDim.x) {
        const Meeting meeting(limb, depth, LAYERS, index);
        Word words[1 << LAYERS];
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) words[i] = meeting.word(i);
        merge<LAYERS>(words, factors_of(limb, meeting, depth, LAYERS), modulus);
#pragma unroll
        for (unsigned i = 0; i < 1 << LAYERS; i++) meeting.word(i) = words[i];
    }
}

// Coefficients to values.
extern "C" __global__ void __launch_bounds__(SMALL_THREADS)
    forward_limb(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                 const Word *__restrict__ source_limbs, Word log_degree, Word conjugate_invariant,
                 const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                 const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const TransformConstants constant = constants[prime];
    const Word p = constant.modulus.value;
    const TransformedLimb words(target, target_limbs, source, source_limbs, log_degree);
    const SmallLimb limb = {(unsigned)log_degree, heaps + (prime << log_degree)};
    for (unsigned i = threadIdx.x; i < limb.size(); i += blockDim.x) {
        const Word word = words.source[i];
        shared[padded(i)] = conjugate_invariant ? folded(i, word, words.source[limb.mirror(i)], constant) : word;
    }
    const unsigned remainder = limb.log_degree % GROUP;
    switch (remainder) {
        case 1: split_limb<1>(limb, 0, p); break;
        case 2: split_limb<2>(limb, 0, p); break;
        case 3: split_limb<3>(limb, 0, p); break;
    }
    for (unsigned depth = remainder; depth < limb.log_degree; depth += GROUP) split_limb<GROUP>(limb, depth, p);
    __syncthreads();
    for (unsigned i = threadIdx.x; i < limb.size(); i += blockDim.x) {
        words.target[i] = reduce(shared[padded(i)], constant.modulus);
    }
}

// Values to coefficients, normalised.
extern "C" __global__ void __launch_bounds__(SMALL_THREADS)
    inverse_limb(Word *target, const Word *__restrict__ target_limbs, const Word *source,
                 const Word *__restrict__ source_limbs, Word log_degree, Word conjugate_invariant,
                 const Word *__restrict__ primes, const TransformConstants *__restrict__ constants,
                 const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const TransformConstants constant = constants[prime];
    const TransformedLimb words(target, target_limbs, source, source_limbs, log_degree);
    const SmallLimb limb = {(unsigned)log_degree, heaps + (prime << log_degree)};
    for (unsigned i = threadIdx.x; i < limb.size(); i += blockDim.x) shared[padded(i)] = words.source[i];
    const unsigned remainder = limb.log_degree % GROUP;
    for (unsigned depth = limb.log_degree; depth > remainder; depth -= GROUP) {
        merge_limb<GROUP>(limb, depth - GROUP, constant.modulus);
    }
    switch (remainder) {
        case 1: merge_limb<1>(limb, 0, constant.modulus); break;
        case 2: merge_limb<2>(limb, 0, constant.modulus); break;
        case 3: merge_limb<3>(limb, 0, constant.modulus); break;
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < limb.size(); i += blockDim.x) {
        Word word = shared[padded(i)];
        if (conjugate_invariant) word = unfolded(i, word, shared[padded(limb.mirror(i))], constant);
        words.target[i] = multiply(word, constant.normalisation, constant.modulus.value);
    }
}
