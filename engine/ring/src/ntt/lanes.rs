//! Transforms over a subring, in many lanes.
//!
//! A polynomial of degree below `n = d k` is `sum_i X^i p_i(Y)` with `d` rows `p_i` in `Y = X^d`: coefficient `y` of row `i` is
//! word `i + d y`. All rows are transformed together, by the first `log2 k` layers of the tree: its nodes are halves of the words as
//! ever, and a leaf is the values of all rows at one point, `d` neighbouring words.

use super::{scalar::ScalarTransform, tables::Twiddles};
use crate::{InstructionSet, Modulus, Ring};

/// The transform of rows of one length, the *points*, modulo one prime.
pub(crate) struct LaneTransform {
    portable: ScalarTransform,
}

impl LaneTransform {
    /// Prepares the tables for `k = 2^log_points`; `None` if the prime is not 1 modulo `4k`.
    pub(crate) fn new(log_points: u32, modulus: &Modulus, _instructions: InstructionSet) -> Option<Self> {
        let twiddles = Twiddles::new(Ring::cyclotomic(log_points), modulus)?;
        Some(Self { portable: ScalarTransform::new(modulus, &twiddles) })
    }

    /// Coefficients of rows to their values at all points; a multiple of `k` words.
    pub(crate) fn forward(&self, words: &mut [u64]) {
        self.portable.forward(words);
    }

    /// Values at all points to coefficients, normalised.
    pub(crate) fn inverse(&self, words: &mut [u64]) {
        self.portable.inverse(words);
    }
}
