//! The gadget product on a block of one limb: sums of products of digits with the rows of a key, for a batch of inputs.

#[cfg(target_arch = "x86_64")]
mod doubles;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;

use super::{LimbKernels, dispatch};

/// Words with a constant factor.
pub(in crate::cpu) type Addend<'a> = Option<(&'a [u64], u64)>;

/// One input of the batch: a block of each digit, and what is added to the two sums.
pub(in crate::cpu) struct InnerProductInput<'a> {
    pub(in crate::cpu) digits: Vec<&'a [u64]>,
    pub(in crate::cpu) addends: [Addend<'a>; 2],
}

impl LimbKernels<'_> {
    /// `targets[j][h] = sum_i inputs[j].digits[i] * rows[i][h] + inputs[j].addends[h]`.
    pub(in crate::cpu) fn inner_products(
        self,
        targets: &mut [[&mut [u64]; 2]],
        inputs: &[InnerProductInput<'_>],
        rows: &[[&[u64]; 2]],
    ) {
        dispatch!(self, doubles inner_products(targets, inputs, rows))
    }
}
