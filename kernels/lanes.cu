// Matrix products of ciphertexts over a subring: transforms of rows, and products at the points.
//
// A polynomial of N words is N / K rows, each of K coefficients that lie N / K words apart; the transform of all rows is the
// first log2 K layers of the tree (transform_layers.cuh), whose heap is that of the cyclotomic ring of degree K. A leaf is
// the values of all rows at one point, neighbouring words.
//
// Blocks lie along x polynomial after polynomial, as many for each as a limb has; the limb is blockIdx.y.
#include "operands.cuh"
#include "transform_layers.cuh"

// The place of a thread: which polynomial, and which of the limb's threads.
struct LaneThread {
    Word polynomial;
    Word index;

    // `log_size`: binary logarithm of the threads of a limb.
    __device__ explicit LaneThread(Word log_size) {
        const Word thread = (Word)blockIdx.x * blockDim.x + threadIdx.x;
        polynomial = thread >> log_size;
        index = thread & (((Word)1 << log_size) - 1);
    }
};

// The factors of the nodes below one of any depth.
struct LaneFactors {
    const Multiplier *heap;
    Word log_points;
    unsigned node;

    __device__ __forceinline__ Multiplier operator()(unsigned depth, unsigned position) const {
        return heap[heap_entry((node << depth) + position, log_points)];
    }
};

// The words that meet in a run of layers, in memory, and their factors.
struct LaneMeeting {
    Word *target;
    const Word *source;
    unsigned log_spacing;
    LaneFactors factors;

    __device__ LaneMeeting(Word *const *targets, const Word *const *sources, Word log_degree, Word log_points,
                           Word depth, unsigned layers, Word prime, const Multiplier *heaps) {
        const LaneThread thread(log_degree - layers);
        log_spacing = (unsigned)(log_degree - depth) - layers;
        const Word position = thread.index >> log_spacing;
        const Word within = thread.index & (((Word)1 << log_spacing) - 1);
        const Word first = word_at(blockIdx.y, log_degree, (position << (log_spacing + layers)) + within);
        target = targets[thread.polynomial] + first;
        source = sources[thread.polynomial] + first;
        factors = {heaps + (prime << log_points), log_points, (1u << depth) + (unsigned)position};
    }
};

template <unsigned LAYERS>
static __device__ __forceinline__ void split_lanes(const LaneMeeting &meeting, const Modulus &modulus) {
    Word words[1 << LAYERS];
#pragma unroll
    for (unsigned i = 0; i < 1 << LAYERS; i++) words[i] = meeting.source[(Word)i << meeting.log_spacing];
    split<LAYERS>(words, meeting.factors, modulus.value);
#pragma unroll
    for (unsigned i = 0; i < 1 << LAYERS; i++) {
        meeting.target[(Word)i << meeting.log_spacing] = reduce(words[i], modulus);
    }
}

template <unsigned LAYERS>
static __device__ __forceinline__ void merge_lanes(const LaneMeeting &meeting, Multiplier normalisation,
                                                   const Modulus &modulus) {
    Word words[1 << LAYERS];
#pragma unroll
    for (unsigned i = 0; i < 1 << LAYERS; i++) words[i] = meeting.source[(Word)i << meeting.log_spacing];
    merge<LAYERS>(words, meeting.factors, modulus);
#pragma unroll
    for (unsigned i = 0; i < 1 << LAYERS; i++) {
        meeting.target[(Word)i << meeting.log_spacing] = multiply(words[i], normalisation, modulus.value);
    }
}

// Layers `depth` .. `depth + layers` of the transform of rows, from coefficients to values.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    forward_lanes(Word *const *__restrict__ targets, const Word *const *__restrict__ sources, Word log_degree,
                  Word log_points, Word depth, Word layers, const Word *__restrict__ primes,
                  const TransformConstants *__restrict__ constants, const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const Modulus modulus = constants[prime].modulus;
    const LaneMeeting meeting(targets, sources, log_degree, log_points, depth, (unsigned)layers, prime, heaps);
    switch (layers) {
        case 1: split_lanes<1>(meeting, modulus); break;
        case 2: split_lanes<2>(meeting, modulus); break;
        case 3: split_lanes<3>(meeting, modulus); break;
        case 4: split_lanes<4>(meeting, modulus); break;
    }
}

// The same layers from values to coefficients; those at the root normalise.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    inverse_lanes(Word *const *__restrict__ targets, const Word *const *__restrict__ sources, Word log_degree,
                  Word log_points, Word depth, Word layers, const Word *__restrict__ primes,
                  const TransformConstants *__restrict__ constants, const Multiplier *__restrict__ heaps) {
    const Word prime = primes[blockIdx.y];
    const TransformConstants constant = constants[prime];
    const Multiplier factor = depth == 0 ? constant.normalisation : Multiplier{1, constant.modulus.word_quotient};
    const LaneMeeting meeting(targets, sources, log_degree, log_points, depth, (unsigned)layers, prime, heaps);
    switch (layers) {
        case 1: merge_lanes<1>(meeting, factor, constant.modulus); break;
        case 2: merge_lanes<2>(meeting, factor, constant.modulus); break;
        case 3: merge_lanes<3>(meeting, factor, constant.modulus); break;
        case 4: merge_lanes<4>(meeting, factor, constant.modulus); break;
    }
}

// At every point the products of the rows of `pairs` left ciphertexts with those of as many right ones, summed over the
// ciphertexts. `operands`: the values of the two halves of each left, then of each right ciphertext. `targets`: four for
// each row i of the left ones, of left and right halves b b', b a', a b', a a'; word j of a point is the sum of the products of row i
// with row j. A thread owns word j of a point of all four.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    lane_products(Word *const *__restrict__ targets, const Word *const *__restrict__ operands, Word pairs,
                  Word log_points, Word log_degree, const Word *__restrict__ primes,
                  const Modulus *__restrict__ moduli) {
    const LaneThread thread(log_degree);
    const Word row = thread.polynomial;
    const Word right = word_at(blockIdx.y, log_degree, thread.index);
    const Word rows = (Word)1 << (log_degree - log_points);
    const Word left = right - (thread.index & (rows - 1)) + row;
    DoubleWord sums[4] = {};
    for (Word pair = 0; pair < pairs; pair++) {
        const Word x[2] = {__ldg(operands[2 * pair] + left), __ldg(operands[2 * pair + 1] + left)};
        const Word *const *halves = operands + 2 * (pairs + pair);
        const Word y[2] = {__ldg(halves[0] + right), __ldg(halves[1] + right)};
#pragma unroll
        for (unsigned part = 0; part < 4; part++) sums[part] += (DoubleWord)x[part / 2] * y[part % 2];
    }
    const Modulus modulus = moduli[primes[blockIdx.y]];
#pragma unroll
    for (unsigned part = 0; part < 4; part++) targets[4 * row + part][right] = reduce(sums[part], modulus);
}
