//! Point-wise kernels.

use std::ops::Range;

use rayon::prelude::*;

use super::{Cpu, limb::LimbKernels, words::Words};
use crate::{Operand, Shape};

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
        let positions: Vec<_> = (left.shape.basis.indices())
            .map(|prime| {
                right.shape.basis.position(prime).expect("checked: the right factor has the left one's primes")
            })
            .collect();
        self.for_each_block(target, left.shape, |kernels, block, range| {
            let start = positions[range.start / degree] * degree + range.start % degree;
            kernels.multiply_accumulate(block, &left.buffer[range], &right.buffer[start..start + block.len()]);
        });
    }
}
