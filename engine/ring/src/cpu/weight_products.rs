//! Products of integer weights with a vector in the first coefficients of small ciphertexts.
//!
//! Weights are small and many: their polynomials are made where they are used and never lie in memory. Each result has a
//! thread, which writes a few of its polynomials, transforms them, and adds their products with the inputs before
//! they leave the second-level cache.

use rayon::prelude::*;

use super::{
    Cpu,
    limb::{LimbKernels, inner_product::InnerProductInput},
    words::Words,
};
use crate::{IntegerMatrix, Pair};

/// Polynomials that a thread works on at a time: as many as inner products keep in registers, and at the degree of a small ring an
/// eighth of a second-level cache.
const TOGETHER: usize = 4;

impl Cpu {
    pub(super) fn multiply_by_weight_polynomials(
        &self,
        weights: &IntegerMatrix,
        inputs: &[Pair<'_, Words>],
        block: usize,
    ) -> Vec<[Words; 2]> {
        let Some([first, _]) = inputs.first() else { return Vec::new() };
        let degree = first.shape.ring.degree();
        let prime = first.shape.basis.indices().next().expect("checked: the inputs have one prime");
        let transforms = self.transforms(first.shape.ring);
        let transform = transforms.modulo(prime);
        let kernels = self.kernels(self.chain.modulus(prime));
        let halves: Vec<[&[u64]; 2]> = inputs.iter().map(|input| input.map(|half| &half.buffer[..])).collect();
        let results = weights.shape().polynomials(degree, block);
        let scratch = || (self.pool.take(TOGETHER.min(inputs.len()) * degree), [0; 2].map(|_| self.pool.take(degree)));
        let result = |(polynomials, before): &mut (Words, [Words; 2]), number: usize| {
            let mut sum = [0; 2].map(|_| self.pool.take(degree));
            for (chunk, halves) in halves.chunks(TOGETHER).enumerate() {
                let polynomials = &mut polynomials[..halves.len() * degree];
                for (input, polynomial) in polynomials.chunks_exact_mut(degree).enumerate() {
                    let rows = WeightRows { weights, first: number, step: results };
                    rows.write(kernels, polynomial, (chunk * TOGETHER + input) * block, block);
                    transform.forward(polynomial);
                }
                std::mem::swap(&mut sum, before);
                let addends = before.each_ref().map(|half| (chunk > 0).then_some((&half[..], 1)));
                let terms = InnerProductInput { digits: polynomials.chunks_exact(degree).collect(), addends };
                kernels.inner_products(&mut [sum.each_mut().map(|half| &mut half[..])], &[terms], halves);
            }
            sum
        };
        (0..results).into_par_iter().map_init(scratch, result).collect()
    }
}

/// The rows of weights of one result: every `step`-th from `first` on.
struct WeightRows<'a> {
    weights: &'a IntegerMatrix,
    first: usize,
    step: usize,
}

impl WeightRows<'_> {
    /// The polynomial of `block` columns from `column` on: `sum_i X^(block i) sum_c w_(i, c) X^-c`.
    ///
    /// Coefficient `block i - c` is that of column `c` of row `i`: the first column of a row stands in the place of a multiple of `block`, and
    /// the others of the next row follow it backwards; those of row 0 come round the end and change their sign.
    fn write(&self, kernels: LimbKernels<'_>, polynomial: &mut [u64], column: usize, block: usize) {
        let rows = polynomial.len() / block;
        for (i, segment) in polynomial.chunks_exact_mut(block).enumerate() {
            let (first, others) = segment.split_at_mut(1);
            let wrapped = i + 1 == rows;
            reversed(kernels, first, self.row(i, column, 1), false);
            reversed(kernels, others, self.row(if wrapped { 0 } else { i + 1 }, column + 1, block - 1), wrapped);
        }
    }

    /// At most `count` columns from `column` on of the `i`-th of the rows: fewer at the end, none beyond it.
    fn row(&self, i: usize, column: usize, count: usize) -> &[i16] {
        let shape = self.weights.shape();
        let row = self.first + i * self.step;
        if row >= shape.rows {
            return &[];
        }
        let row = &self.weights.entries()[row * shape.columns..][..shape.columns];
        &row[column.min(shape.columns)..(column + count).min(shape.columns)]
    }
}

/// Integers from the end of the target backwards, and zeros before them.
fn reversed(kernels: LimbKernels<'_>, target: &mut [u64], integers: &[i16], negated: bool) {
    let (zeros, target) = target.split_at_mut(target.len() - integers.len());
    zeros.fill(0);
    kernels.reversed_integers(target, integers, negated);
}
