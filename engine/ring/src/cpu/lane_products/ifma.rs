//! On 52-bit multiply-add.
//!
//! Both factors are packed so that the innermost loop reads memory in order: groups of [`GROUP`] rows of the left matrix, panels of
//! one vector of columns of each half of the right one. A tile of the result, one group by one panel, stays in registers for the
//! whole sum, whose high half may grow beyond `2^52`.

use std::arch::x86_64::*;

use super::Point;
use crate::{
    cpu::limb::prefetch,
    lanes::{WideReduction, WideSum, load, store},
};

/// Words per vector.
pub(super) const WIDTH: usize = 8;
/// Vectors of columns in a panel: the same columns of both halves.
const VECTORS: usize = 2;
const PANEL: usize = VECTORS * WIDTH;
/// Rows of the left matrix in a group: eight sums in two halves are enough to hide the latency of multiply-add.
const GROUP: usize = 4;
/// Longest sum in registers: with it a panel of 32 KiB fits in a first-level cache.
const DEPTH: usize = 1 << 8;
/// Ciphertexts ahead that are asked for while packing: their words lie far apart.
const AHEAD: usize = 2;

const _: () = assert!(DEPTH <= WideReduction::LONG_CAPACITY && super::ROWS.is_multiple_of(GROUP));

/// A thread's packed copies of the matrices at a point.
#[derive(Default)]
pub(super) struct Packed {
    /// Group after group, ciphertext after ciphertext.
    left: Vec<[u64; GROUP]>,
    /// Panel after panel, ciphertext after ciphertext.
    right: Vec<[u64; PANEL]>,
}

impl Packed {
    /// Rows `first ..` of the product at a point, as many as `block` has room for.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn multiply(&mut self, point: Point<'_>, first: usize, block: &mut [u64]) {
        let rows = point.rows;
        let reduction = WideReduction::new(point.modulus);
        for start in (0..point.pairs()).step_by(DEPTH) {
            let depth = DEPTH.min(point.pairs() - start);
            self.pack(point, first, block.len() / (2 * rows), start..start + depth);
            for (column, panel) in (0..).step_by(WIDTH).zip(self.right.chunks_exact(depth)) {
                for (group, out) in self.left.chunks_exact(depth).zip(block.chunks_exact_mut(GROUP * 2 * rows)) {
                    let mut sums = [[WideSum::zero(); VECTORS]; GROUP];
                    if start > 0 {
                        for (row, sums) in sums.iter_mut().enumerate() {
                            for (half, sum) in sums.iter_mut().enumerate() {
                                sum.add_word(vector(out, (2 * row + half) * rows + column));
                            }
                        }
                    }
                    add_tile(&mut sums, group, panel);
                    for (row, sums) in sums.into_iter().enumerate() {
                        for (half, sum) in sums.into_iter().enumerate() {
                            let words = &mut out[(2 * row + half) * rows + column..][..WIDTH];
                            // SAFETY: these are eight words.
                            unsafe { store(words.as_mut_ptr(), reduction.reduce_long(sum)) };
                        }
                    }
                }
            }
        }
    }

    /// The values of ciphertexts `pairs`: so many rows of the left matrix from `first` on, all columns of the right one.
    fn pack(&mut self, point: Point<'_>, first: usize, count: usize, pairs: std::ops::Range<usize>) {
        let depth = pairs.len();
        let rows = point.rows;
        self.left.resize(count / GROUP * depth, [0; GROUP]);
        self.right.resize(rows / WIDTH * depth, [0; PANEL]);
        for (index, pair) in pairs.clone().enumerate() {
            let ahead = pair + AHEAD;
            // A task has rows of one half, or all of both.
            for (half, left) in self.left.chunks_mut(rows / GROUP * depth).enumerate() {
                let half = first / rows + half;
                let from = first % rows;
                let words = &point.left(pair, half)[from..][..count.min(rows)];
                if ahead < pairs.end {
                    prefetch(&point.left(ahead, half)[from..][..count.min(rows)]);
                }
                for (packed, words) in left.chunks_exact_mut(depth).zip(words.chunks_exact(GROUP)) {
                    packed[index].copy_from_slice(words);
                }
            }
            for half in 0..2 {
                if ahead < pairs.end {
                    prefetch(point.right(ahead, half));
                }
                let vectors = point.right(pair, half).chunks_exact(WIDTH);
                for (packed, words) in self.right.chunks_exact_mut(depth).zip(vectors) {
                    packed[index][half * WIDTH..][..WIDTH].copy_from_slice(words);
                }
            }
        }
    }
}

/// Eight words from `start` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn vector(words: &[u64], start: usize) -> __m512i {
    // SAFETY: these are eight words.
    unsafe { load(words[start..][..WIDTH].as_ptr()) }
}

/// Adds the products of a group of rows with a panel.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_tile(sums: &mut [[WideSum; VECTORS]; GROUP], group: &[[u64; GROUP]], panel: &[[u64; PANEL]]) {
    let mut tile = *sums;
    for (left, right) in group.iter().zip(panel) {
        // SAFETY: a row of the panel has that many vectors.
        let x: [__m512i; VECTORS] = unsafe { std::array::from_fn(|v| load(right.as_ptr().add(v * WIDTH))) };
        for row in 0..GROUP {
            let factor = _mm512_set1_epi64(left[row] as i64);
            for v in 0..VECTORS {
                tile[row][v].add_product(factor, x[v]);
            }
        }
    }
    *sums = tile;
}
