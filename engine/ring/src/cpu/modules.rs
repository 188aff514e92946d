//! Strided maps between rings, and module rows. All are gathers of coefficients; none computes more than a sign.

use rayon::prelude::*;

use super::{Cpu, words::Words};
use crate::{MatrixShape, Modulus, Operand, PrimeIndex, Ring};

impl Cpu {
    pub(super) fn split_by_stride(&self, source: Operand<'_, Words>, parts: usize) -> Vec<Words> {
        let small = source.shape.ring.degree() / parts;
        let limbs = source.shape.basis.len();
        (0..parts)
            .into_par_iter()
            .map(|j| {
                let mut part = self.pool.take(limbs * small);
                // A limb's degree is a multiple of the stride, so one stride runs through all limbs.
                part.iter_mut().zip(source.buffer[j..].iter().step_by(parts)).for_each(|(out, &x)| *out = x);
                part
            })
            .collect()
    }

    pub(super) fn merge_by_stride(&self, parts: &[Operand<'_, Words>]) -> Words {
        let words = parts.first().map_or(0, |part| part.buffer.len());
        let mut out = self.pool.take(words * parts.len());
        out.par_chunks_exact_mut(parts.len().max(1)).with_min_len(1 << 10).enumerate().for_each(|(i, coefficients)| {
            coefficients.iter_mut().zip(parts).for_each(|(out, part)| *out = part.buffer[i]);
        });
        out
    }

    pub(super) fn stack_module_rows(
        &self,
        ciphertexts: &[[Operand<'_, Words>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Words; 2] {
        let degree = ciphertexts.first().map_or(tokens, |[b, _]| b.shape.ring.degree());
        let rank = degree / tokens;
        let modulus = self.chain.modulus(PrimeIndex::Ciphertext(0));
        let rows = ciphertexts.len() * rank;
        let mut b_rows = self.pool.take(rows * tokens);
        let mut a_rows = self.pool.take(rows * degree);
        (b_rows.par_chunks_exact_mut(tokens).zip(a_rows.par_chunks_exact_mut(degree))).enumerate().for_each(
            |(row, (b_row, a_row))| {
                let (i, ciphertext) = place_of_row(row, group, rank);
                let [b, a] = ciphertexts[ciphertext];
                b_row.iter_mut().zip(b.buffer[i..].iter().step_by(rank)).for_each(|(out, &x)| *out = x);
                for (j, block) in a_row.chunks_exact_mut(tokens).enumerate() {
                    toeplitz_block(modulus, rank, i, j, a.buffer, block);
                }
            },
        );
        [b_rows, a_rows]
    }

    /// The matrix `B` of [`Self::stack_module_rows`] alone.
    pub(super) fn stack_b_rows(&self, ciphertexts: &[[Operand<'_, Words>; 2]], group: usize, tokens: usize) -> Words {
        let rank = ciphertexts.first().map_or(1, |[b, _]| b.shape.ring.degree() / tokens);
        let mut rows = self.pool.take(ciphertexts.len() * rank * tokens);
        rows.par_chunks_exact_mut(tokens).enumerate().for_each(|(row, entries)| {
            let (i, ciphertext) = place_of_row(row, group, rank);
            let [b, _] = ciphertexts[ciphertext];
            entries.iter_mut().zip(b.buffer[i..].iter().step_by(rank)).for_each(|(out, &x)| *out = x);
        });
        rows
    }

    pub(super) fn gather_polynomials(
        &self,
        (b, b_shape): (&Words, MatrixShape),
        (a, a_shape): (&Words, MatrixShape),
        first: usize,
        ring: Ring,
    ) -> (Words, Vec<Words>) {
        let tokens = b_shape.columns;
        let polynomial = |matrix: &Words, shape: MatrixShape, column: usize| {
            let stride = ring.degree() / tokens;
            let rows = stride.min(shape.rows.saturating_sub(first));
            let mut out = if rows == stride { self.pool.take(ring.degree()) } else { self.pool.zeros(ring.degree()) };
            let matrix = &matrix[first.min(shape.rows) * shape.columns..];
            let transposition = Transposition { matrix, columns: shape.columns, column, rows, stride };
            transposition.write(&mut out);
            out
        };
        let blocks =
            (0..a_shape.columns / tokens).into_par_iter().map(|j| polynomial(a, a_shape, j * tokens)).collect();
        (polynomial(b, b_shape, 0), blocks)
    }
}

/// Edge of a square of words whose rows are cache lines on both sides of a transposition.
const EDGE: usize = 8;

/// `rows` rows of a matrix of so many columns, from `column` on, as what lies `stride` apart in a polynomial.
struct Transposition<'a> {
    matrix: &'a [u64],
    columns: usize,
    column: usize,
    rows: usize,
    stride: usize,
}

impl Transposition<'_> {
    /// Entry (row, token) to the coefficient `row + stride token`. Squares are written line by line: single words at large powers of two
    /// from each other would fall into one set of a cache.
    fn write(&self, out: &mut [u64]) {
        let tokens = out.len() / self.stride;
        let squares =
            if tokens.is_multiple_of(EDGE) && self.stride.is_multiple_of(EDGE) { self.rows / EDGE } else { 0 };
        for first in (0..squares * EDGE).step_by(EDGE) {
            for token in (0..tokens).step_by(EDGE) {
                let square: [[u64; EDGE]; EDGE] = std::array::from_fn(|row| {
                    let start = (first + row) * self.columns + self.column + token;
                    std::array::from_fn(|i| self.matrix[start + i])
                });
                for i in 0..EDGE {
                    let line: [u64; EDGE] = std::array::from_fn(|row| square[row][i]);
                    out[(token + i) * self.stride + first..][..EDGE].copy_from_slice(&line);
                }
            }
        }
        for row in squares * EDGE..self.rows {
            let entries = &self.matrix[row * self.columns + self.column..][..tokens];
            out[row..].iter_mut().step_by(self.stride).zip(entries).for_each(|(out, &x)| *out = x);
        }
    }
}

/// The module row within its small ciphertext, and the number of that: `row = C group rank + j + group i` is row `i` of ciphertext
/// `C group + j`.
fn place_of_row(row: usize, group: usize, rank: usize) -> (usize, usize) {
    let (big, within) = (row / (group * rank), row % (group * rank));
    (within / group, big * group + within % group)
}

/// `A_(i,j) = a_(i-j)` for `j <= i` and `Y a_(rank+i-j)` for `j > i`, where `a_i` takes every `rank`-th coefficient
/// from the i-th and `Y` shifts with `Y^tokens = -1`.
fn toeplitz_block(m: &Modulus, rank: usize, i: usize, j: usize, a: &[u64], block: &mut [u64]) {
    if j <= i {
        block.iter_mut().zip(a[i - j..].iter().step_by(rank)).for_each(|(out, &x)| *out = x);
    } else {
        let start = rank + i - j;
        let (wrapped, moved) = block.split_at_mut(1);
        wrapped[0] = m.neg(a[start + a.len() - rank]);
        moved.iter_mut().zip(a[start..].iter().step_by(rank)).for_each(|(out, &x)| *out = x);
    }
}
