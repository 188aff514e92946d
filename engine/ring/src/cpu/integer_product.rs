//! Integer weights times residues modulo `q_0`, through floating-point matrix products that are exact.
//!
//! A residue `x < 2^50` is split into halves `x = x_1 2^25 + x_0` below `2^25`. With weights `|w| <= 2^15` a sum of
//! [`DEPTH`]` = 2^11` products of a weight and a half stays within `2^(15 + 25 + 11) = 2^51`: every partial sum, in
//! whatever order, is an integer below `2^53` and exactly representable in `f64`, fused or not. Longer contractions are
//! cut into pieces of that depth, and the pieces added modulo `q_0`.

use rayon::prelude::*;

use super::{Cpu, words::Words};
use crate::{IntegerMatrix, MatrixShape, Modulus, PrimeIndex};

/// Bits of a half residue.
const HALF_BITS: u32 = Modulus::MAX_BITS / 2;
/// Longest contraction in one floating-point product.
const DEPTH: usize = 1 << 11;
/// Rows of weights converted at a time.
const ROWS: usize = 1 << 8;
/// Columns of residues converted at a time.
const COLUMNS: usize = 1 << 7;

const _: () = assert!(15 + HALF_BITS + DEPTH.ilog2() < f64::MANTISSA_DIGITS);

/// A thread's floating-point copies: 4 MiB of weights, twice 2 MiB of residues, twice a quarter of results.
struct Blocks {
    weights: Vec<f64>,
    halves: [Vec<f64>; 2],
    products: [Vec<f64>; 2],
}

impl Blocks {
    fn new() -> Self {
        Self {
            weights: vec![0.0; ROWS * DEPTH],
            halves: [vec![0.0; DEPTH * COLUMNS], vec![0.0; DEPTH * COLUMNS]],
            products: [vec![0.0; ROWS * COLUMNS], vec![0.0; ROWS * COLUMNS]],
        }
    }
}

impl Cpu {
    pub(super) fn multiply_by_integers(&self, weights: &IntegerMatrix, matrix: &[u64], shape: MatrixShape) -> Words {
        let modulus = self.chain.modulus(PrimeIndex::Ciphertext(0));
        let MatrixShape { rows, columns: inner } = weights.shape();
        let columns = shape.columns;
        let mut out = self.pool.zeros(rows * columns);
        if rows * columns * inner == 0 {
            return out;
        }
        // Small outputs are cut finer, so that every thread has a share.
        let share = rows.div_ceil(rayon::current_num_threads()).clamp(1, ROWS);
        out.par_chunks_mut(share * columns).zip(weights.entries().par_chunks(share * inner)).for_each_init(
            Blocks::new,
            |blocks, (out, weights)| {
                for start in (0..inner).step_by(DEPTH) {
                    let depth = DEPTH.min(inner - start);
                    blocks.load_weights(weights, inner, start, depth);
                    for column in (0..columns).step_by(COLUMNS) {
                        let width = COLUMNS.min(columns - column);
                        blocks.load_halves(&matrix[start * columns + column..], columns, depth, width);
                        blocks.multiply(weights.len() / inner, depth, width);
                        blocks.recombine(modulus, &mut out[column..], columns, width);
                    }
                }
            },
        );
        out
    }
}

impl Blocks {
    /// Columns `start .. start + depth` of the weights, row-major.
    fn load_weights(&mut self, weights: &[i16], inner: usize, start: usize, depth: usize) {
        for (copy, row) in self.weights.chunks_exact_mut(depth).zip(weights.chunks_exact(inner)) {
            copy.iter_mut().zip(&row[start..]).for_each(|(copy, &weight)| *copy = weight as f64);
        }
    }

    /// `depth` rows of `width` residues, row-major.
    fn load_halves(&mut self, matrix: &[u64], columns: usize, depth: usize, width: usize) {
        let [low, high] = &mut self.halves;
        let rows = matrix.chunks(columns).take(depth);
        for ((low, high), row) in low.chunks_exact_mut(width).zip(high.chunks_exact_mut(width)).zip(rows) {
            for ((low, high), &x) in low.iter_mut().zip(high).zip(row) {
                *low = (x & ((1 << HALF_BITS) - 1)) as f64;
                *high = (x >> HALF_BITS) as f64;
            }
        }
    }

    fn multiply(&mut self, rows: usize, depth: usize, width: usize) {
        assert!(
            rows * depth <= self.weights.len() && rows * width <= ROWS * COLUMNS && depth * width <= DEPTH * COLUMNS
        );
        for (half, product) in self.halves.iter().zip(&mut self.products) {
            // SAFETY: all three matrices are row-major with the given row lengths and lie within their vectors, as
            // asserted; the destination is borrowed exclusively and only written.
            unsafe {
                gemm::gemm(
                    rows,
                    width,
                    depth,
                    product.as_mut_ptr(),
                    1,
                    width as isize,
                    false,
                    self.weights.as_ptr(),
                    1,
                    depth as isize,
                    half.as_ptr(),
                    1,
                    width as isize,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        }
    }

    /// Adds the products to rows of `out`.
    fn recombine(&self, modulus: &Modulus, out: &mut [u64], columns: usize, width: usize) {
        let [low, high] = &self.products;
        for ((out, low), high) in out.chunks_mut(columns).zip(low.chunks_exact(width)).zip(high.chunks_exact(width)) {
            for ((out, &low), &high) in out.iter_mut().zip(low).zip(high) {
                let product = ((high as i128) << HALF_BITS) + low as i128;
                *out = modulus.reduce_i128(product + *out as i128);
            }
        }
    }
}
