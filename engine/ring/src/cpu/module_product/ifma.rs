//! On 52-bit multiply-add, eight lanes of everything: of small ciphertexts where weights are transformed, of tokens in all the rest.
//!
//! A task takes a block of rows through the whole product. Its transformed weights stay in a second-level cache; the transformed
//! blocks stream by, panel after panel of tokens, once for the block of rows; and the sums of a panel are transformed back
//! before the next one. A tile of sums stays in registers for all small ciphertexts and is reduced once.

use std::arch::x86_64::*;

use rayon::prelude::*;

use super::{Operands, transform::CyclicLanes};
use crate::lanes::{Lanes, WideReduction, WideSum, read, reduce_once, write};

/// Words per vector, and small ciphertexts per vector of weights.
const WIDTH: usize = 8;
/// Vectors of tokens in a panel.
const VECTORS: usize = 2;
const PANEL: usize = VECTORS * WIDTH;
/// Rows of a tile: twelve sums in two halves, two vectors of blocks and a weight make 27 registers.
const TILE: usize = 6;
/// Rows of a task: transformed weights of 128 small ciphertexts at rank 32 take three quarters of a megabyte.
const ROWS: usize = 2 * TILE;
/// Vectors of small ciphertexts in one sum.
const DEPTH: usize = WideReduction::LONG_CAPACITY / WIDTH;

type Vector = [u64; WIDTH];

/// Words that the transformed blocks take.
pub(super) fn words_of_blocks(operands: &Operands<'_>) -> usize {
    operands.tokens.div_ceil(PANEL) * panel_vectors(operands) * WIDTH
}

/// Vectors of a panel: by frequency, small ciphertext (those that fill the last vector of weights included) and vector of tokens.
fn panel_vectors(operands: &Operands<'_>) -> usize {
    operands.length() * lane_groups(operands) * WIDTH * VECTORS
}

/// Vectors of small ciphertexts.
fn lane_groups(operands: &Operands<'_>) -> usize {
    operands.ciphertexts.len().div_ceil(WIDTH)
}

/// `out = weights * A`, every word of it. `blocks` has [`words_of_blocks`].
///
/// # Safety
/// The machine has AVX-512F and IFMA.
pub(super) unsafe fn multiply(operands: &Operands<'_>, blocks: &mut [u64], out: &mut [u64]) {
    // SAFETY: promised by the caller.
    let transform = unsafe { CyclicLanes::new(operands.modulus, &operands.twiddles) };
    let panel = panel_vectors(operands);
    let vectors = blocks.as_chunks_mut().0;
    vectors.par_chunks_exact_mut(panel).enumerate().for_each_init(Vec::new, |line, (number, panel)| {
        // SAFETY: promised by the caller.
        unsafe { load_panel(operands, &transform, line, number, panel) };
    });
    let vectors: &[Vector] = blocks.as_chunks().0;
    let (columns, degree) = (operands.weights.shape().columns, operands.rank * operands.tokens);
    let rows = operands.weights.entries().par_chunks(ROWS * columns);
    out.par_chunks_mut(ROWS * degree).zip(rows).for_each_init(Space::default, |space, (out, weights)| {
        // SAFETY: promised by the caller.
        unsafe { space.multiply(operands, &transform, vectors, weights, out) };
    });
}

/// The blocks of all small ciphertexts at the tokens of a panel, transformed and divided by the length.
#[target_feature(enable = "avx512f,avx512ifma")]
fn load_panel(
    operands: &Operands<'_>,
    transform: &CyclicLanes,
    line: &mut Vec<__m512i>,
    number: usize,
    panel: &mut [Vector],
) {
    let length = operands.length();
    let stride = panel.len() / length;
    let first = number * PANEL;
    panel.fill([0; WIDTH]);
    for ciphertext in 0..operands.ciphertexts.len() {
        for v in 0..VECTORS {
            let start = first + v * WIDTH;
            line.clear();
            line.extend((0..length).map(|e| {
                read(&std::array::from_fn(|lane| match start + lane {
                    token if token < operands.tokens => operands.block_entry(ciphertext, e, token),
                    _ => 0,
                }))
            }));
            transform.forward(line, 1);
            let targets = panel[ciphertext * VECTORS + v..].iter_mut().step_by(stride);
            targets.zip(&*line).for_each(|(target, &x)| write(target, transform.normalise(x)));
        }
    }
}

/// A thread's copies.
#[derive(Default)]
struct Space {
    /// By frequency, row and vector of small ciphertexts.
    weights: Vec<Vector>,
    /// The vectors of small ciphertexts that some row of the task has weights for.
    active: Vec<usize>,
    /// By frequency and row.
    sums: Vec<[__m512i; VECTORS]>,
    /// What is being transformed.
    line: Vec<__m512i>,
}

impl Space {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply(
        &mut self,
        operands: &Operands<'_>,
        transform: &CyclicLanes,
        blocks: &[Vector],
        weights: &[i16],
        out: &mut [u64],
    ) {
        let rows = weights.len() / operands.weights.shape().columns;
        let padded = rows.next_multiple_of(TILE);
        self.load_weights(operands, transform, weights, padded);
        for (number, panel) in blocks.chunks_exact(panel_vectors(operands)).enumerate() {
            self.multiply_panel(operands, panel, padded);
            for (row, out) in out.chunks_exact_mut(operands.rank * operands.tokens).enumerate() {
                for v in 0..VECTORS {
                    let first = number * PANEL + v * WIDTH;
                    if first < operands.tokens {
                        self.line.clear();
                        self.line.extend(self.sums[row..].iter().step_by(padded).map(|sums| sums[v]));
                        transform.inverse(&mut self.line);
                        store_blocks(operands, transform, &self.line, first, out);
                    }
                }
            }
        }
    }

    /// Transforms the weights of the rows; those that fill the last tile are zero.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn load_weights(&mut self, operands: &Operands<'_>, transform: &CyclicLanes, weights: &[i16], padded: usize) {
        let (length, groups) = (operands.length(), lane_groups(operands));
        let columns = operands.weights.shape().columns;
        self.weights.resize(length * padded * groups, [0; WIDTH]);
        self.active.clear();
        for group in 0..groups {
            let position = self.active.len();
            let mut any = false;
            for row in 0..padded {
                let row_weights = weights.get(row * columns..).and_then(|rest| rest.get(..columns));
                let targets = self.weights[row * groups + position..].iter_mut().step_by(padded * groups);
                if row_weights.is_some_and(|weights| load_line(operands, transform, weights, group, &mut self.line)) {
                    any = true;
                    transform.forward(&mut self.line, 2);
                    targets.zip(&self.line).for_each(|(target, &x)| write(target, x));
                } else {
                    targets.for_each(|target| *target = [0; WIDTH]);
                }
            }
            if any {
                self.active.push(group);
            }
        }
    }

    /// The sums of a panel, at every frequency.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply_panel(&mut self, operands: &Operands<'_>, panel: &[Vector], padded: usize) {
        let reduction = WideReduction::new(operands.modulus);
        let groups = lane_groups(operands);
        self.sums.resize(operands.length() * padded, [_mm512_setzero_si512(); VECTORS]);
        let frequencies = panel.chunks_exact(groups * WIDTH * VECTORS).zip(self.weights.chunks_exact(padded * groups));
        for ((panel, weights), sums) in frequencies.zip(self.sums.chunks_exact_mut(padded)) {
            for (weights, sums) in weights.chunks_exact(TILE * groups).zip(sums.as_chunks_mut::<TILE>().0) {
                *sums = tile(&reduction, operands, panel, weights, &self.active);
            }
        }
    }
}

/// The sums of a tile over all active small ciphertexts, in `0..2p`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn tile(
    reduction: &WideReduction,
    operands: &Operands<'_>,
    panel: &[Vector],
    weights: &[Vector],
    active: &[usize],
) -> [[__m512i; VECTORS]; TILE] {
    let lanes = Lanes::new(operands.modulus);
    let groups = weights.len() / TILE;
    let panel = panel.as_chunks::<{ WIDTH * VECTORS }>().0;
    let mut totals = [[_mm512_setzero_si512(); VECTORS]; TILE];
    for (piece, active) in active.chunks(DEPTH).enumerate() {
        let mut sums = [[WideSum::zero(); VECTORS]; TILE];
        for (position, &group) in active.iter().enumerate() {
            let blocks = &panel[group];
            let weights: [&Vector; TILE] = std::array::from_fn(|row| &weights[row * groups + piece * DEPTH + position]);
            for lane in 0..WIDTH {
                let x: [__m512i; VECTORS] = std::array::from_fn(|v| read(&blocks[lane * VECTORS + v]));
                for row in 0..TILE {
                    let weight = _mm512_set1_epi64(weights[row][lane] as i64);
                    for v in 0..VECTORS {
                        sums[row][v].add_product(weight, x[v]);
                    }
                }
            }
        }
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = reduce_once(_mm512_add_epi64(*total, reduction.reduce_long(sum)), lanes.double);
            }
        }
    }
    totals
}

/// The weights of a row for a vector of small ciphertexts as the coefficients of `U`, after the first layer of its transform:
/// `U mod X^k - 1` and `U mod X^k + 1`. Whether any weight is not zero.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn load_line(
    operands: &Operands<'_>,
    transform: &CyclicLanes,
    weights: &[i16],
    group: usize,
    line: &mut Vec<__m512i>,
) -> bool {
    let Operands { rank, group: stride, .. } = *operands;
    let zero = _mm512_setzero_si512();
    let first = group * WIDTH;
    let mut any = zero;
    let mut weight = |i: usize| {
        let weights: [i16; WIDTH] = if stride.is_multiple_of(WIDTH) {
            let start = operands.first_weight(first) + i * stride;
            std::array::from_fn(|lane| weights.get(start + lane).copied().unwrap_or(0))
        } else {
            std::array::from_fn(|lane| match first + lane {
                ciphertext if ciphertext < operands.ciphertexts.len() => {
                    weights[operands.first_weight(ciphertext) + i * stride]
                }
                _ => 0,
            })
        };
        let weights = weights.map(i64::from);
        let x = _mm512_set_epi64(
            weights[7], weights[6], weights[5], weights[4], weights[3], weights[2], weights[1], weights[0],
        );
        any = _mm512_or_si512(any, x);
        transform.residue(x)
    };
    // U has u_0 at index 0 and u_i at index 2k - i: the upper half is (0, u_(k-1), .., u_1).
    line.clear();
    line.resize(2 * rank, zero);
    let (cyclic, negacyclic) = line.split_at_mut(rank);
    for i in 0..rank {
        let x = weight(i);
        let index = (rank - i) % rank;
        cyclic[index] = x;
        negacyclic[index] = if i == 0 { x } else { transform.negate(x) };
    }
    _mm512_test_epi64_mask(any, any) != 0
}

/// The last layer of the inverse transform, of which half is needed, and the blocks of a row at eight tokens or as many as are left.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn store_blocks(operands: &Operands<'_>, transform: &CyclicLanes, line: &[__m512i], first: usize, out: &mut [u64]) {
    let Operands { rank, tokens, .. } = *operands;
    let (cyclic, negacyclic) = line.split_at(rank);
    let width = WIDTH.min(tokens - first);
    for (j, block) in out.chunks_exact_mut(tokens).enumerate() {
        // Block j is coefficient 2k - j of the product: the sum of the halves at index 0, else their difference.
        let index = (rank - j) % rank;
        let (x, y) = (cyclic[index], negacyclic[index]);
        let value = transform.reduce(if j == 0 { transform.sum(x, y) } else { transform.difference(x, y) });
        match block[first..].first_chunk_mut() {
            Some(target) => write(target, value),
            None => {
                let mut words = [0; WIDTH];
                write(&mut words, value);
                block[first..].copy_from_slice(&words[..width]);
            }
        }
    }
}
