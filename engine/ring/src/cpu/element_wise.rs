//! Point-wise kernels.

use std::ops::Range;

use rayon::prelude::*;

use super::{Cpu, gadget::blocks_of, limb::LimbKernels, words::Words};
use crate::{Operand, Pair, Shape};

/// Words per parallel task: a few microseconds of work, in one limb.
const BLOCK: usize = 1 << 13;

impl Cpu {
    /// Calls `kernel` on blocks of the target, none across a limb's end, with the block's range in the buffer.
    pub(super) fn for_each_block(
        &self,
        target: &mut [u64],
        shape: Shape,
        kernel: impl Fn(LimbKernels<'_>, &mut [u64], Range<usize>) + Sync,
    ) {
        let degree = shape.ring.degree();
        let block = degree.min(BLOCK);
        let moduli: Vec<_> = self.chain.moduli(shape.basis).collect();
        let run = |(i, words): (usize, &mut [u64])| {
            let start = i * block;
            kernel(self.kernels(moduli[start / degree]), words, start..start + words.len());
        };
        if target.len() <= 4 * BLOCK {
            target.chunks_exact_mut(block).enumerate().for_each(run);
        } else {
            target.par_chunks_exact_mut(block).enumerate().for_each(run);
        }
    }

    pub(super) fn multiply_accumulate_limbs(
        &self,
        target: &mut [u64],
        left: Operand<'_, Words>,
        right: Operand<'_, Words>,
    ) {
        let degree = left.shape.ring.degree();
        let positions = positions(left.shape, right.shape);
        self.for_each_block(target, left.shape, |kernels, block, range| {
            let start = positions[range.start / degree] * degree + range.start % degree;
            kernels.multiply_accumulate(block, &left.buffer[range], &right.buffer[start..start + block.len()]);
        });
    }

    pub(super) fn combine(&self, terms: &[(Operand<'_, Words>, Vec<u64>)], target: Shape) -> Words {
        let degree = target.ring.degree();
        let positions: Vec<Vec<usize>> = terms.iter().map(|(term, _)| positions(target, term.shape)).collect();
        let mut out = self.pool.take(target.words());
        self.for_each_block(&mut out, target, |kernels, block, range| {
            let limb = range.start / degree;
            let (words, constants): (Vec<&[u64]>, Vec<u64>) = (terms.iter().zip(&positions))
                .map(|((term, constants), positions)| {
                    let start = positions[limb] * degree + range.start % degree;
                    (&term.buffer[start..start + block.len()], constants[limb])
                })
                .unzip();
            kernels.linear_combination(block, &words, &constants);
        });
        out
    }

    pub(super) fn tensor_product(&self, left: Pair<'_, Words>, right: Pair<'_, Words>) -> [Words; 3] {
        let shape = left[0].shape;
        let degree = shape.ring.degree();
        let block = degree.min(BLOCK);
        let positions = positions(shape, right[0].shape);
        let moduli: Vec<_> = self.chain.moduli(shape.basis).collect();
        let mut parts = [0; 3].map(|_| self.pool.take(shape.words()));
        let blocks: Vec<_> = blocks_of(std::iter::once(parts.each_mut()), block).into_iter().flatten().collect();
        blocks.into_par_iter().enumerate().for_each(|(i, out)| {
            let (limb, start) = (i * block / degree, i * block % degree);
            let other = positions[limb] * degree + start;
            let left = left.map(|half| &half.buffer[i * block..][..block]);
            let right = right.map(|half| &half.buffer[other..][..block]);
            self.kernels(moduli[limb]).tensor(out, left, right);
        });
        parts
    }
}

/// Where the limbs of `shape` are among those of an operand, which checked operations made sure of.
fn positions(shape: Shape, operand: Shape) -> Vec<usize> {
    let position = |prime| operand.basis.position(prime).expect("checked: the operand has the target's primes");
    shape.basis.indices().map(position).collect()
}
