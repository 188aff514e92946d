// Number-theoretic transforms of limbs of 2^13 words and more, in two launches. Any limbs of a polynomial at once, in place
// or from another one. transform_layers.cuh has the tree and the arithmetic, ABI.md the launch shapes and arguments.
//
// A limb is a matrix with rows of 256 words, 32 to 256 of them. The top launch (large_transforms_top.cu) runs the layers above
// the rows along columns, a tile of 16 columns to a block; the bottom launch (large_transforms_bottom.cu) runs the eight
// layers within each row, 16 threads to a row, which need no other threads. A thread has 16 words. The inverse takes the two
// in the opposite order.
//
// Words enter and leave a transform in 0..p. Between its launches they are below 19p (forward) or below 2p (inverse).
#pragma once
#include "transform_layers.cuh"

constexpr unsigned LOG_ROW = 8;
constexpr unsigned ROW_WORDS = 1 << LOG_ROW;

// Blocks that a multiprocessor should have registers for: as many as need no local memory.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr unsigned BOTTOM_BLOCKS = 4;
constexpr unsigned FORWARD_TOP_BLOCKS = 2;
#else
constexpr unsigned BOTTOM_BLOCKS = 6;
constexpr unsigned FORWARD_TOP_BLOCKS = 3;
#endif
constexpr unsigned INVERSE_TOP_BLOCKS = 2;

extern __shared__ Word shared[];
