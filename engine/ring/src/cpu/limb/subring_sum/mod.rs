//! Sums of inputs times factors from a subring, on a block of one limb.

#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;

use super::{LimbKernels, dispatch};

/// Sums that are formed together, in registers.
const TOGETHER: usize = 4;

/// The operands of one limb.
pub(in crate::cpu) struct SubringLimb<'a> {
    /// Both halves of every input.
    pub(in crate::cpu) inputs: Vec<[&'a [u64]; 2]>,
    /// A factor for every input, sum after sum.
    pub(in crate::cpu) factors: Vec<&'a [u64]>,
    /// Words that share a number of a factor.
    pub(in crate::cpu) run: usize,
}

impl<'a> SubringLimb<'a> {
    /// Scratch words for a block: its words of all inputs, and the numbers of some sums' factors for it.
    pub(in crate::cpu) fn scratch_words(&self, block: usize) -> usize {
        self.inputs.len() * (2 * block + TOGETHER * self.points(block))
    }

    /// Numbers of a factor that a block meets.
    fn points(&self, block: usize) -> usize {
        block.div_ceil(self.run)
    }

    /// The factors of one sum.
    fn factors_of(&self, sum: usize) -> &[&'a [u64]] {
        &self.factors[sum * self.inputs.len()..][..self.inputs.len()]
    }
}

impl LimbKernels<'_> {
    /// `targets[o][h] = sum_i factors[o][i] * inputs[i][h]` from word `start` of the limb on.
    pub(in crate::cpu) fn subring_sums(
        self,
        targets: &mut [[&mut [u64]; 2]],
        start: usize,
        limb: &SubringLimb<'_>,
        scratch: &mut [u64],
    ) {
        dispatch!(self, subring_sums(targets, start, limb, scratch))
    }
}
