//! Slot-wise arithmetic on several ciphertexts at once, so that products share the reading of the relinearisation key.

use fhe_ring::Backend;

use super::{CkksServer, SlotCiphertext};
use crate::{CircuitShape, CkksError, Level, OperationCounts, SlotArithmetic};

/// A server whose operands are ciphertexts at one level, all treated alike.
pub(super) struct Together<'a, B: Backend>(pub(super) &'a CkksServer<B>);

impl<B: Backend> Together<'_, B> {
    fn pairs<'a>(
        a: &'a [SlotCiphertext<B>],
        b: &'a [SlotCiphertext<B>],
    ) -> impl Iterator<Item = (&'a SlotCiphertext<B>, &'a SlotCiphertext<B>)> {
        a.iter().zip(b)
    }
}

impl<B: Backend> SlotArithmetic for Together<'_, B> {
    type Slots = Vec<SlotCiphertext<B>>;

    fn shape(&self) -> &CircuitShape {
        self.0.shape()
    }

    fn level(&self, x: &Self::Slots) -> Level {
        x.first().map_or(Level(0), |x| x.level)
    }

    fn counts(&self) -> OperationCounts {
        self.0.counts()
    }

    fn add(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError> {
        Self::pairs(a, b).map(|(a, b)| self.0.add(a, b)).collect()
    }

    fn subtract(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError> {
        Self::pairs(a, b).map(|(a, b)| self.0.subtract(a, b)).collect()
    }

    fn add_constant(&self, a: &Self::Slots, constant: f64) -> Result<Self::Slots, CkksError> {
        a.iter().map(|a| self.0.add_constant(a, constant)).collect()
    }

    fn multiply_integer(&self, a: &Self::Slots, factor: i64) -> Result<Self::Slots, CkksError> {
        a.iter().map(|a| self.0.multiply_integer(a, factor)).collect()
    }

    fn multiply(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.0.multiply_pairs(&Self::pairs(a, b).collect::<Vec<_>>())
    }

    fn square(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.multiply(a, a)
    }

    fn linear_combination(&self, terms: &[(&Self::Slots, f64)], constant: f64) -> Result<Self::Slots, CkksError> {
        let count = terms.first().map_or(0, |(x, _)| x.len());
        (0..count)
            .map(|index| {
                let terms: Vec<_> = terms.iter().map(|(x, factor)| (&x[index], *factor)).collect();
                self.0.linear_combination(&terms, constant)
            })
            .collect()
    }

    fn lower(&self, a: &Self::Slots, level: Level) -> Result<Self::Slots, CkksError> {
        a.iter().map(|a| self.0.lower(a, level)).collect()
    }
}
