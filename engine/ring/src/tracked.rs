//! Buffers with an entry in a ledger, and operands without.

use crate::{Allocation, GadgetInput, HoistedInput, KeyedAutomorphism, Operand};

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

impl<'a, T> GadgetInput<'a, Tracked<T>> {
    pub(crate) fn untracked(&self) -> GadgetInput<'a, T> {
        GadgetInput {
            digits: self.digits.iter().map(|digit| digit.untracked()).collect(),
            addends: self.addends.map(|addend| addend.map(Operand::untracked)),
        }
    }
}

impl<'a, T> HoistedInput<'a, Tracked<T>> {
    pub(crate) fn untracked(&self) -> HoistedInput<'a, T> {
        HoistedInput {
            digits: self.digits.iter().map(|digit| digit.untracked()).collect(),
            ciphertext: self.ciphertext.map(Operand::untracked),
        }
    }
}

impl<'a, T> KeyedAutomorphism<'a, Tracked<T>> {
    pub(crate) fn untracked(&self) -> KeyedAutomorphism<'a, T> {
        KeyedAutomorphism {
            element: self.element,
            rows: self.rows.iter().map(|row| row.map(Operand::untracked)).collect(),
        }
    }
}
