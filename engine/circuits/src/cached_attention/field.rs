//! Sums over a field of the slots, and copies along it.

use fhe_ckks::{Evaluator, Rotation};

use crate::error::Result;

/// Neighbours in slots `stride` apart, a power of two of them, beside others of their kind.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) stride: usize,
    pub(super) length: usize,
}

impl Field {
    /// The sum over the field, in one of its places; nothing of use in the others.
    pub(super) fn sum<E: Evaluator>(self, e: &E, x: E::Slots, place: usize) -> Result<E::Slots> {
        self.double(e, x, |bit| place >> bit & 1 == 0)
    }

    /// One place in all of them, where the others were zero.
    pub(super) fn spread<E: Evaluator>(self, e: &E, x: E::Slots, place: usize) -> Result<E::Slots> {
        self.double(e, x, |bit| place >> bit & 1 == 1)
    }

    /// Adds what lies ahead, or else behind, by every power of two.
    fn double<E: Evaluator>(self, e: &E, mut x: E::Slots, ahead: impl Fn(u32) -> bool) -> Result<E::Slots> {
        for bit in 0..self.length.trailing_zeros() {
            let steps = (self.stride << bit) as i64;
            x = e.add(&x, &e.rotate(&x, Rotation(if ahead(bit) { steps } else { -steps }))?)?;
        }
        Ok(x)
    }
}
