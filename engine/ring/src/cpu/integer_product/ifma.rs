//! On 52-bit multiply-add.
//!
//! Factors of multiply-add are unsigned: weights are shifted to `w + 2^15`, and `2^15` times the sum of each column is
//! subtracted again. A sum of [`DEPTH`] products of such a weight, below `2^16`, with a residue below `2^50` has a low
//! half below `2^52 DEPTH <= 2^61` and needs no reduction before its end.
//!
//! Both factors are packed so that the innermost loop reads memory in order: panels of [`PANEL`] columns of residues,
//! groups of [`GROUP`] rows of weights. A tile of the result, one group by one panel, stays in registers.

use std::arch::x86_64::*;

use super::{Residues, WeightRows};
use crate::lanes::{WideReduction, WideSum, load, store};

/// Words per vector.
const WIDTH: usize = 8;
/// Vectors of columns in a panel.
const VECTORS: usize = 3;
const PANEL: usize = VECTORS * WIDTH;
/// Rows of weights in a group: twelve sums in two halves, three residues and a weight make 28 registers.
const GROUP: usize = super::ALIGNMENT;
/// Longest contraction in one sum.
const DEPTH: usize = 1 << 9;

/// What makes weights positive.
const SHIFT: i32 = 1 << 15;

/// A thread's packed copies: half a megabyte of weights, 96 KiB of residues.
#[derive(Default)]
pub(super) struct Packed {
    /// Group after group, depth after depth, the shifted weights of the group's rows.
    weights: Vec<[u64; GROUP]>,
    /// Depth after depth.
    panel: Vec<[u64; PANEL]>,
    /// `-2^15` times the sum of the panel's columns, modulo `q_0`.
    correction: [u64; PANEL],
}

impl Packed {
    /// `out += weights * residues`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn multiply(&mut self, weights: WeightRows<'_>, residues: Residues<'_>, out: &mut [u64]) {
        let columns = residues.columns;
        let reduction = WideReduction::new(residues.modulus);
        for start in (0..weights.inner).step_by(DEPTH) {
            let depth = DEPTH.min(weights.inner - start);
            self.pack_weights(weights, start, depth);
            for column in (0..columns).step_by(PANEL) {
                let width = PANEL.min(columns - column);
                self.pack_panel(residues, start, depth, column, width);
                for (group, rows) in self.weights.chunks_exact(depth).zip(out.chunks_mut(GROUP * columns)) {
                    let tile = self.tile(&reduction, group);
                    for (row, sums) in rows.chunks_exact_mut(columns).zip(&tile) {
                        for (out, &sum) in row[column..column + width].iter_mut().zip(sums) {
                            *out = residues.modulus.add(*out, sum);
                        }
                    }
                }
            }
        }
    }

    /// Columns `start .. start + depth` of the weights; missing rows of the last group are zero, as are their results.
    fn pack_weights(&mut self, weights: WeightRows<'_>, start: usize, depth: usize) {
        self.weights.clear();
        for group in weights.entries.chunks(GROUP * weights.inner) {
            self.weights.extend((start..start + depth).map(|k| {
                std::array::from_fn(|row| match group.get(row * weights.inner + k) {
                    Some(&weight) => (weight as i32 + SHIFT) as u64,
                    None => 0,
                })
            }));
        }
    }

    /// `depth` rows from `start` of the columns from `column`; missing columns of the last panel are zero.
    fn pack_panel(&mut self, residues: Residues<'_>, start: usize, depth: usize, column: usize, width: usize) {
        let Residues { words, columns, modulus } = residues;
        self.panel.clear();
        let mut sums = [0; PANEL];
        for row in words.chunks_exact(columns).skip(start).take(depth) {
            let mut packed = [0; PANEL];
            packed[..width].copy_from_slice(&row[column..column + width]);
            // Residues below 2^50 may be summed 2^14 times.
            sums.iter_mut().zip(&packed).for_each(|(sum, &x)| *sum += x);
            self.panel.push(packed);
        }
        self.correction = sums.map(|sum| modulus.neg(modulus.mul(modulus.reduce(sum), modulus.reduce(SHIFT as u64))));
    }

    /// The products of one group of rows with the panel.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn tile(&self, reduction: &WideReduction, group: &[[u64; GROUP]]) -> [[u64; PANEL]; GROUP] {
        let mut sums = [[WideSum::zero(); VECTORS]; GROUP];
        for (weights, residues) in group.iter().zip(&self.panel) {
            // SAFETY: a row of the panel has that many vectors.
            let x: [__m512i; VECTORS] = unsafe { std::array::from_fn(|v| load(residues.as_ptr().add(v * WIDTH))) };
            for row in 0..GROUP {
                let weight = _mm512_set1_epi64(weights[row] as i64);
                for v in 0..VECTORS {
                    sums[row][v].add_product(weight, x[v]);
                }
            }
        }
        let mut tile = [[0; PANEL]; GROUP];
        for (tile, sums) in tile.iter_mut().zip(sums) {
            for (v, mut sum) in sums.into_iter().enumerate() {
                // SAFETY: the correction and a row of the tile have that many vectors.
                unsafe {
                    sum.add_word(load(self.correction.as_ptr().add(v * WIDTH)));
                    store(tile.as_mut_ptr().add(v * WIDTH), reduction.reduce(sum));
                }
            }
        }
        tile
    }
}
