// What a thread of a transform does in registers: the layers of the tree below one node, and the fold.
//
// The tree. A limb of N words is the root, node 1. A node at depth d has N / 2^d words and the children 2k and 2k + 1,
// its halves; the butterflies that halve node k multiply by entry k of the limb's heap of twiddle factors. The leaves
// are the values in the order of fhe_ring::ntt::root_exponent. Sixteen neighbouring leaves are a group; the fifteen nodes
// above them are stored so that neighbouring groups find theirs next to each other (heap_entry). Both ring kinds run the same tree with different heaps;
// the conjugate-invariant ring folds its coefficients first (d_0 = c_0, d_k = c_k - I c_(N-k)) and unfolds them last.
//
// Reduction. A forward butterfly adds at most 2p, so sixteen layers after the fold stay below 35p < 2^56 without any
// correction. The sums of the inverse double with each layer, so they are reduced to 0..2p after four.
#pragma once
#include "modular_arithmetic.cuh"

// Layers that a thread runs on 16 words in registers before words change hands.
constexpr unsigned GROUP = 4;
constexpr unsigned GROUP_WORDS = 1 << GROUP;

// Where the factor of a node is stored: from N/16 words a node on, in the order of nodes, below that first by the place
// of the node in its group's own heap, then by group.
static __device__ __forceinline__ unsigned heap_entry(unsigned node, Word log_degree) {
    if (log_degree < GROUP || node >> (log_degree - GROUP) == 0) return node;
    const unsigned log_groups = (unsigned)log_degree - GROUP;
    const unsigned depth = 31 - __clz(node), layer = depth - log_groups;
    const unsigned place = node - (1u << depth);
    return (((1u << layer) + (place & ((1u << layer) - 1))) << log_groups) + (place >> layer);
}

// The factors of the nodes below one that is at least four layers above the groups.
struct InnerFactors {
    const Multiplier *heap;
    unsigned node;

    __device__ __forceinline__ Multiplier operator()(unsigned depth, unsigned position) const {
        return heap[(node << depth) + position];
    }
};

// The factors of the nodes of a group.
struct GroupFactors {
    const Multiplier *heap;
    unsigned groups;
    unsigned group;

    __device__ __forceinline__ Multiplier operator()(unsigned depth, unsigned position) const {
        return heap[((1u << depth) + position) * groups + group];
    }
};

// Either of them: the factors of a group are `step` apart, those of other nodes neighbours.
struct AnyFactors {
    const Multiplier *heap;
    unsigned node;
    unsigned step;

    __device__ __forceinline__ Multiplier operator()(unsigned depth, unsigned position) const {
        return heap[(node << depth) + position * step];
    }
};

// What both directions need to know of a prime beside its heaps.
struct TransformConstants {
    Modulus modulus;
    // I, of order four.
    Multiplier imaginary_unit;
    // 1 / N, and 1 / (2N) for the conjugate-invariant ring, whose unfolding doubles.
    Multiplier normalisation;
};

static __device__ __forceinline__ void forward_butterfly(Word &x, Word &y, Multiplier w, Word p) {
    const Word product = multiply_lazily(y, w, p);
    y = x + 2 * p - product;
    x = x + product;
}

// For x and y below the bound, a multiple of p: then the sum is below twice the bound and the product below 2p.
static __device__ __forceinline__ void inverse_butterfly(Word &x, Word &y, Multiplier w, Word bound, Word p) {
    const Word difference = x + bound - y;
    x = x + y;
    y = multiply_lazily(difference, w, p);
}

// The layers below a node, whose words are given. Node by node through the template arguments, because every index into
// `words` must be a constant: nested loops, though unrolled, leave an array in local memory on some architectures.
template <unsigned LAYERS, unsigned DEPTH = 0, unsigned POSITION = 0, class Factors>
static __device__ __forceinline__ void split(Word (&words)[1 << LAYERS], const Factors &factors, Word p) {
    if constexpr (DEPTH < LAYERS) {
        constexpr unsigned HALF = 1 << (LAYERS - DEPTH - 1);
        const Multiplier w = factors(DEPTH, POSITION);
#pragma unroll
        for (unsigned i = 2 * HALF * POSITION; i < 2 * HALF * POSITION + HALF; i++) {
            forward_butterfly(words[i], words[i + HALF], w, p);
        }
        constexpr bool LAST = POSITION + 1 == 1 << DEPTH;
        split<LAYERS, DEPTH + LAST, LAST ? 0 : POSITION + 1>(words, factors, p);
    }
}

// Undoes `split` up to a factor of 2^LAYERS, from the deepest layer up. Words below 2p in and out.
template <unsigned LAYERS, unsigned HEIGHT = 0, unsigned POSITION = 0, class Factors>
static __device__ __forceinline__ void merge(Word (&words)[1 << LAYERS], const Factors &factors,
                                             const Modulus &modulus) {
    const Word p = modulus.value;
    if constexpr (HEIGHT < LAYERS) {
        constexpr unsigned HALF = 1 << HEIGHT;
        constexpr unsigned DEPTH = LAYERS - HEIGHT - 1;
        const Multiplier w = factors(DEPTH, POSITION);
        const Word bound = 2 * p << HEIGHT;
#pragma unroll
        for (unsigned i = 2 * HALF * POSITION; i < 2 * HALF * POSITION + HALF; i++) {
            inverse_butterfly(words[i], words[i + HALF], w, bound, p);
        }
        constexpr bool LAST = POSITION + 1 == 1 << DEPTH;
        merge<LAYERS, HEIGHT + LAST, LAST ? 0 : POSITION + 1>(words, factors, modulus);
    } else {
        // The other half are products, below 2p already.
#pragma unroll
        for (unsigned i = 0; i < (1 << LAYERS) / 2; i++) words[i] = reduce_lazily(words[i], modulus);
    }
}

// d_i from c_i and its mirror image c_(N-i): below 3p.
static __device__ __forceinline__ Word folded(unsigned i, Word word, Word mirror, const TransformConstants &constants) {
    const Word p = constants.modulus.value;
    return i == 0 ? word : word + 2 * p - multiply_lazily(mirror, constants.imaginary_unit, p);
}

// 2 c_i from d_i and its mirror image d_(N-i): below 4p if they are below 2p.
static __device__ __forceinline__ Word unfolded(unsigned i, Word word, Word mirror,
                                                const TransformConstants &constants) {
    const Word p = constants.modulus.value;
    return word + (i == 0 ? word : multiply_lazily(mirror, constants.imaginary_unit, p));
}

// A limb that is transformed, and where its words come from, which may be the same place. The limb is blockIdx.y.
struct TransformedLimb {
    Word *target;
    const Word *source;

    __device__ TransformedLimb(Word *target, const Word *target_limbs, const Word *source, const Word *source_limbs,
                               Word log_degree)
        : target(target + (target_limbs[blockIdx.y] << log_degree)),
          source(source + (source_limbs[blockIdx.y] << log_degree)) {}
};
