//! Transforms over a subring, in many lanes.
//!
//! A polynomial of degree below `n = d k` is `sum_i X^i p_i(Y)` with `d` rows `p_i` in `Y = X^d`: coefficient `y` of row `i` is
//! word `i + d y`. All rows are transformed together, by the first `log2 k` layers of the tree: its nodes are halves of the words as
//! ever, and a leaf is the values of all rows at one point, `d` neighbouring words.

#[cfg(target_arch = "x86_64")]
use super::ifma::IfmaLaneTransform;
use super::{scalar::ScalarTransform, tables::Twiddles};
use crate::{InstructionSet, Modulus, Ring};

/// The transform of rows of one length, the *points*, modulo one prime.
pub(crate) struct LaneTransform {
    portable: ScalarTransform,
    /// Made only where the features were detected.
    #[cfg(target_arch = "x86_64")]
    ifma: Option<IfmaLaneTransform>,
}

impl LaneTransform {
    /// Prepares the tables for `k = 2^log_points`; `None` if the prime is not 1 modulo `4k`. Few rows, and machines without the
    /// requested instructions, use portable ones.
    pub(crate) fn new(log_points: u32, modulus: &Modulus, instructions: InstructionSet) -> Option<Self> {
        let twiddles = Twiddles::new(Ring::cyclotomic(log_points), modulus)?;
        #[cfg(not(target_arch = "x86_64"))]
        let _ = instructions;
        Some(Self {
            portable: ScalarTransform::new(modulus, &twiddles),
            #[cfg(target_arch = "x86_64")]
            ifma: (instructions == InstructionSet::Avx512Ifma && instructions.is_available())
                .then(|| IfmaLaneTransform::new(modulus, &twiddles)),
        })
    }

    /// Coefficients of rows to their values at all points, as any words below `2^52`; a multiple of `k` words.
    pub(crate) fn forward(&self, words: &mut [u64]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(transform) = self.ifma.as_ref().filter(|transform| transform.suits(words)) {
            // SAFETY: made only where the features were detected.
            return unsafe { transform.forward(words) };
        }
        self.portable.forward(words);
    }

    /// Reduced values at all points to coefficients, normalised.
    pub(crate) fn inverse(&self, words: &mut [u64]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(transform) = self.ifma.as_ref().filter(|transform| transform.suits(words)) {
            // SAFETY: made only where the features were detected.
            return unsafe { transform.inverse(words) };
        }
        self.portable.inverse(words);
    }
}
