//! Matrix products of ciphertexts over a subring.
//!
//! Prime by prime: the rows of every half are transformed to their values at the points of the subring; at each point a
//! product of two matrices of residues, left rows by right rows, is summed over the ciphertexts; what the products leave at
//! the points is transformed back. All halves are stacked: the left matrix has `2 rows` rows, the `b` and then the `a` halves, the
//! right one as many columns.

#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;

use rayon::prelude::*;

use super::{Cpu, words::Words};
use crate::{InstructionSet, Modulus, Pair, Shape};

/// Fewest rows of the left matrix in a parallel task.
const ROWS: usize = 8;
/// Tasks for each thread, if there are rows enough.
const TASKS: usize = 4;

/// The values of all operands at one point of the subring, any words below `2^52`.
#[derive(Clone, Copy)]
struct Point<'a> {
    modulus: &'a Modulus,
    /// Operand after operand, `degree` words each: `b` and `a` halves in turn, those of the left ciphertexts first.
    values: &'a [u64],
    degree: usize,
    /// Rows of an operand.
    rows: usize,
    /// Where the operands' rows begin.
    start: usize,
}

impl<'a> Point<'a> {
    /// Number of left ciphertexts, and of right ones.
    fn pairs(self) -> usize {
        self.values.len() / self.degree / 4
    }

    /// The values of an operand's rows.
    fn operand(self, number: usize) -> &'a [u64] {
        &self.values[number * self.degree + self.start..][..self.rows]
    }

    /// The values of a half of the left ciphertexts.
    fn left(self, pair: usize, half: usize) -> &'a [u64] {
        self.operand(2 * pair + half)
    }

    /// The values of a half of the right ciphertexts.
    fn right(self, pair: usize, half: usize) -> &'a [u64] {
        self.operand(2 * (self.pairs() + pair) + half)
    }
}

impl Cpu {
    pub(super) fn multiply_lanes(
        &self,
        left: &[Pair<'_, Words>],
        right: &[Pair<'_, Words>],
        rows: usize,
    ) -> Vec<[[Words; 2]; 2]> {
        let Some([half, _]) = left.first() else { return Vec::new() };
        let Shape { ring, basis, .. } = half.shape;
        let degree = ring.degree();
        let points = degree / rows;
        let halves: Vec<&Words> = left.iter().chain(right).flatten().map(|half| half.buffer).collect();
        let mut products: Vec<[[Words; 2]; 2]> =
            (0..rows).map(|_| [(); 2].map(|()| [(); 2].map(|()| self.pool.take(half.shape.words())))).collect();
        let mut values = self.pool.take(halves.len() * degree);
        // Point after point a matrix of 2 rows x 2 rows.
        let mut matrices = self.pool.take(4 * rows * degree);
        let share = share_of(2 * rows, points);
        for (limb, prime) in basis.indices().enumerate() {
            let words = limb * degree..(limb + 1) * degree;
            let modulus = self.chain.modulus(prime);
            let transform = self.tables.lane_transform(&self.chain, self.instructions, points.trailing_zeros(), prime);
            values.par_chunks_exact_mut(degree).zip(&halves).for_each(|(values, half)| {
                values.copy_from_slice(&half[words.clone()]);
                transform.forward(values);
            });
            let blocks = matrices.par_chunks_exact_mut(share * 2 * rows).enumerate().map(|(task, block)| {
                let (point, first) = (task * share / (2 * rows), task * share % (2 * rows));
                (Point { modulus, values: &values, degree, rows, start: point * rows }, first, block)
            });
            match self.instructions {
                #[cfg(target_arch = "x86_64")]
                InstructionSet::Avx512Ifma if rows.is_multiple_of(ifma::WIDTH) => {
                    blocks.for_each_init(ifma::Packed::default, |packed, (point, first, block)| {
                        // SAFETY: a backend takes this instruction set only after detecting its features.
                        unsafe { packed.multiply(point, first, block) }
                    });
                }
                _ => blocks.for_each(|(point, first, block)| portable::multiply(point, first, block)),
            }
            products.as_flattened_mut().as_flattened_mut().par_iter_mut().enumerate().for_each(|(number, product)| {
                let product = &mut product[words.clone()];
                let (i, left_half, right_half) = (number / 4, number / 2 % 2, number % 2);
                let row = left_half * rows + i;
                for (out, matrix) in product.chunks_exact_mut(rows).zip(matrices.chunks_exact(4 * rows * rows)) {
                    out.copy_from_slice(&matrix[(2 * row + right_half) * rows..][..rows]);
                }
                transform.inverse(product);
            });
        }
        products
    }
}

/// Rows of a matrix that a task forms, of so many at each of so many points: all, unless there were too few tasks then.
fn share_of(rows: usize, points: usize) -> usize {
    let tasks = TASKS * rayon::current_num_threads();
    let mut share = rows;
    while share > ROWS && points * (rows / share) < tasks {
        share /= 2;
    }
    share
}
