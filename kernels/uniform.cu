// Uniform residues from public seeds: the halves of keys and fresh ciphertexts that need not travel.
//
// A limb is BLAKE3's extendable output under a key of its own, of nothing, in words: those that are below the prime, once masked to its
// length. One block makes a limb, since where a word goes depends on how many before it were kept.
#include "operands.cuh"

extern __shared__ Word shared[];

// Words of an output block, and of a key.
constexpr unsigned OUTPUT_WORDS = 8;
constexpr unsigned KEY_WORDS = 4;

// Flags of the compression that makes output: the first and only block of the first and only chunk, the root, under a key.
constexpr unsigned OUTPUT_FLAGS = 1 | 2 | 8 | 16;

static __device__ __forceinline__ unsigned rotated_right(unsigned x, unsigned places) {
    return x >> places | x << (32 - places);
}

// BLAKE3's quarter round, for a message of zeros.
static __device__ __forceinline__ void mix(unsigned &a, unsigned &b, unsigned &c, unsigned &d) {
    a += b;
    d = rotated_right(d ^ a, 16);
    c += d;
    b = rotated_right(b ^ c, 12);
    a += b;
    d = rotated_right(d ^ a, 8);
    c += d;
    b = rotated_right(b ^ c, 7);
}

// One block of output.
static __device__ __forceinline__ void expand(Word (&output)[OUTPUT_WORDS], const Word *__restrict__ key, Word counter) {
    unsigned chain[8];
#pragma unroll
    for (unsigned i = 0; i < KEY_WORDS; i++) {
        const Word word = __ldg(key + i);
        chain[2 * i] = (unsigned)word;
        chain[2 * i + 1] = (unsigned)(word >> 32);
    }
    unsigned s[16] = {chain[0],    chain[1],    chain[2],    chain[3],          chain[4], chain[5], chain[6], chain[7],
                      0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au,       (unsigned)counter, (unsigned)(counter >> 32),
                      0,           OUTPUT_FLAGS};
#pragma unroll
    for (unsigned round = 0; round < 7; round++) {
        mix(s[0], s[4], s[8], s[12]);
        mix(s[1], s[5], s[9], s[13]);
        mix(s[2], s[6], s[10], s[14]);
        mix(s[3], s[7], s[11], s[15]);
        mix(s[0], s[5], s[10], s[15]);
        mix(s[1], s[6], s[11], s[12]);
        mix(s[2], s[7], s[8], s[13]);
        mix(s[3], s[4], s[9], s[14]);
    }
#pragma unroll
    for (unsigned i = 0; i < 4; i++) {
        const unsigned low = s[2 * i] ^ s[2 * i + 8], high = s[2 * i + 1] ^ s[2 * i + 9];
        output[i] = (Word)high << 32 | low;
        output[i + 4] = (Word)(s[2 * i + 9] ^ chain[2 * i + 1]) << 32 | (s[2 * i + 8] ^ chain[2 * i]);
    }
}

// Words that are as long as the prime.
static __device__ __forceinline__ Word mask_of(Word p) {
    const unsigned high = (unsigned)(p >> 32);
    const int leading = high != 0 ? __clz(high) : 32 + __clz((unsigned)p);
    return ~0ull >> leading;
}

// Fills the limbs of a polynomial; `keys` has four words for each.
extern "C" __global__ void __launch_bounds__(WORD_THREADS)
    uniform_limbs(Word *__restrict__ target, const Word *__restrict__ keys, Word log_degree,
                  const Word *__restrict__ primes, const Modulus *__restrict__ moduli) {
    const Word p = moduli[primes[blockIdx.y]].value;
    const Word mask = mask_of(p);
    const Word degree = (Word)1 << log_degree;
    Word *const limb = target + word_at(blockIdx.y, log_degree, 0);
    Word filled = 0;
    for (Word counter = threadIdx.x; filled < degree; counter += WORD_THREADS) {
        Word output[OUTPUT_WORDS];
        expand(output, keys + KEY_WORDS * blockIdx.y, counter);
        unsigned kept = 0;
#pragma unroll
        for (unsigned i = 0; i < OUTPUT_WORDS; i++) {
            output[i] &= mask;
            kept += output[i] < p;
        }
        // How many are kept up to this thread's last one.
        shared[threadIdx.x] = kept;
        __syncthreads();
        for (unsigned distance = 1; distance < WORD_THREADS; distance *= 2) {
            const Word before = threadIdx.x >= distance ? shared[threadIdx.x - distance] : 0;
            __syncthreads();
            shared[threadIdx.x] += before;
            __syncthreads();
        }
        Word place = filled + shared[threadIdx.x] - kept;
        filled += shared[WORD_THREADS - 1];
#pragma unroll
        for (unsigned i = 0; i < OUTPUT_WORDS; i++) {
            if (output[i] < p && place < degree) limb[place] = output[i];
            place += output[i] < p;
        }
        // Before others count what they keep next.
        __syncthreads();
    }
}
