//! Through `f64` matrix products that are exact.
//!
//! A residue `x < 2^50` is split into halves `x = x_1 2^25 + x_0` below `2^25`. With weights `|w| <= 2^15` a sum of
//! [`DEPTH`]` = 2^11` products of a weight and a half stays within `2^(15 + 25 + 11) = 2^51`: every partial sum, in
//! whatever order, is an integer below `2^53` and exactly representable in `f64`, fused or not. Longer contractions are
//! cut into pieces of that depth, and the pieces added modulo `q_0`.

use super::{ROWS, Residues, WeightRows};
use crate::Modulus;

/// Bits of a half residue.
const HALF_BITS: u32 = Modulus::MAX_BITS / 2;
/// Longest contraction in one floating-point product.
const DEPTH: usize = 1 << 11;
/// Columns of residues converted at a time.
const COLUMNS: usize = 1 << 7;

const _: () = assert!(15 + HALF_BITS + DEPTH.ilog2() < f64::MANTISSA_DIGITS);

/// A thread's floating-point copies: 2 MiB of weights, twice 2 MiB of residues, twice 128 KiB of results.
pub(super) struct Blocks {
    weights: Vec<f64>,
    halves: [Vec<f64>; 2],
    products: [Vec<f64>; 2],
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self {
            weights: vec![0.0; ROWS * DEPTH],
            halves: [vec![0.0; DEPTH * COLUMNS], vec![0.0; DEPTH * COLUMNS]],
            products: [vec![0.0; ROWS * COLUMNS], vec![0.0; ROWS * COLUMNS]],
        }
    }

    /// `out += weights * residues`.
    pub(super) fn multiply(&mut self, weights: WeightRows<'_>, residues: Residues<'_>, out: &mut [u64]) {
        let Residues { words, columns, modulus } = residues;
        for start in (0..weights.inner).step_by(DEPTH) {
            let depth = DEPTH.min(weights.inner - start);
            self.load_weights(weights, start, depth);
            for column in (0..columns).step_by(COLUMNS) {
                let width = COLUMNS.min(columns - column);
                self.load_halves(&words[start * columns + column..], columns, depth, width);
                self.multiply_block(weights.count(), depth, width);
                self.recombine(modulus, &mut out[column..], columns, width);
            }
        }
    }

    /// Columns `start .. start + depth` of the weights, row-major.
    fn load_weights(&mut self, weights: WeightRows<'_>, start: usize, depth: usize) {
        let rows = weights.entries.chunks_exact(weights.inner);
        for (copy, row) in self.weights.chunks_exact_mut(depth).zip(rows) {
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

    fn multiply_block(&mut self, rows: usize, depth: usize, width: usize) {
        assert!(rows * depth <= self.weights.len());
        for (half, product) in self.halves.iter().zip(&mut self.products) {
            assert!(depth * width <= half.len() && rows * width <= product.len());
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
