//! Buffers with an entry in a ledger, and operands without.

use crate::{Allocation, Operand};

/// A buffer of another backend together with its entry in the ledger.
pub struct Tracked<T> {
    pub(crate) inner: T,
    pub(crate) _allocation: Allocation,
}

impl<T> Tracked<T> {
    /// The buffer.
    pub fn inner(&self) -> &T {
        &self.inner
    }
}

impl<'a, T> Operand<'a, Tracked<T>> {
    pub(crate) fn untracked(self) -> Operand<'a, T> {
        Operand { buffer: &self.buffer.inner, shape: self.shape }
    }
}
