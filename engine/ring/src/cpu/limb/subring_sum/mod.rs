//! Sums of inputs times factors from a subring, on a block of one limb.

#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;

use super::{LimbKernels, dispatch};

/// Sums that are formed together, in registers.
pub(in crate::cpu) const TOGETHER: usize = 4;

/// The operands of one limb.
pub(in crate::cpu) struct SubringLimb<'a> {
    /// Both halves of every input.
    pub(in crate::cpu) inputs: Vec<[&'a [u64]; 2]>,
    /// The factors: point after point, for each group of [`TOGETHER`] sums input after input those of the group side by side.
    pub(in crate::cpu) numbers: &'a [u64],
    /// Number of sums.
    pub(in crate::cpu) sums: usize,
    /// Words that share a point.
    pub(in crate::cpu) run: usize,
}

impl<'a> SubringLimb<'a> {
    /// Scratch words for a block: its words of all inputs.
    pub(in crate::cpu) fn scratch_words(&self, block: usize) -> usize {
        2 * block * self.inputs.len()
    }

    /// The numbers of a group of sums at a point.
    fn numbers_of(&self, point: usize, group: usize) -> &'a [u64] {
        let of_group = self.inputs.len() * TOGETHER;
        &self.numbers[(point * self.sums.div_ceil(TOGETHER) + group) * of_group..][..of_group]
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
