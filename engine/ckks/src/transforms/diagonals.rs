//! Linear maps on slots as sparse sets of generalised diagonals.
//!
//! A map with diagonals `D_d` sends `x` to `y_j = sum_d D_d[j] x_(j + d mod n)`, that is `y = sum_d D_d * rot_d(x)` with
//! rotations to the left (Halevi, Shoup: *Algorithms in HElib*, CRYPTO 2014). [`crate::transforms::baby_giant`] says which rotations
//! evaluate it.

use std::collections::BTreeMap;

use num_complex::Complex64;

use crate::CkksError;

/// A linear map on `n` slots by its non-zero generalised diagonals.
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalMatrix {
    slots: usize,
    diagonals: BTreeMap<usize, Vec<Complex64>>,
}

impl DiagonalMatrix {
    /// The zero map on `slots` slots (a power of two).
    pub fn zero(slots: usize) -> Result<Self, CkksError> {
        check_slots("DiagonalMatrix::zero", slots)?;
        Ok(Self { slots, diagonals: BTreeMap::new() })
    }

    /// The identity on `slots` slots (a power of two).
    pub fn identity(slots: usize) -> Result<Self, CkksError> {
        Self::zero(slots)?.with_diagonal(0, vec![Complex64::ONE; slots])
    }

    /// Adds `diagonal` (length `slots`) at `offset`, taken modulo `slots`, to what is there.
    pub fn with_diagonal(mut self, offset: usize, diagonal: Vec<Complex64>) -> Result<Self, CkksError> {
        check_length("DiagonalMatrix::with_diagonal", "diagonal", diagonal.len(), self.slots)?;
        let sum = self.diagonals.entry(offset % self.slots).or_insert_with(|| vec![Complex64::ZERO; self.slots]);
        sum.iter_mut().zip(diagonal).for_each(|(sum, entry)| *sum += entry);
        Ok(self)
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Number of stored diagonals, one plaintext product each.
    pub fn diagonal_count(&self) -> usize {
        self.diagonals.len()
    }

    /// Offsets of the stored diagonals, ascending.
    pub fn offsets(&self) -> impl Iterator<Item = usize> + '_ {
        self.diagonals.keys().copied()
    }

    /// The diagonal at an offset, if stored.
    pub fn diagonal(&self, offset: usize) -> Option<&[Complex64]> {
        self.diagonals.get(&offset).map(Vec::as_slice)
    }

    /// The composition `self * inner`, which applies `inner` first.
    pub fn compose(&self, inner: &Self) -> Result<Self, CkksError> {
        check_length("DiagonalMatrix::compose", "inner map", inner.slots, self.slots)?;
        let mut product = Self::zero(self.slots)?;
        for (outer_offset, outer) in &self.diagonals {
            for (inner_offset, diagonal) in &inner.diagonals {
                let offset = (outer_offset + inner_offset) % self.slots;
                let sum = product.diagonals.entry(offset).or_insert_with(|| vec![Complex64::ZERO; self.slots]);
                let (wrapped, straight) = diagonal.split_at(*outer_offset);
                let shifted = straight.iter().chain(wrapped);
                sum.iter_mut().zip(outer).zip(shifted).for_each(|((sum, a), b)| *sum += a * b);
            }
        }
        Ok(product.without_zero_diagonals(0.0))
    }

    /// A map that agrees with this one on vectors of period `period`, a power of two, with offsets below it: diagonals whose offsets
    /// agree modulo the period are joined.
    pub fn on_period(self, period: usize) -> Result<Self, CkksError> {
        check_slots("DiagonalMatrix::on_period", period)?;
        let joined = Self::zero(self.slots)?;
        self.diagonals
            .into_iter()
            .try_fold(joined, |sum, (offset, diagonal)| sum.with_diagonal(offset % period, diagonal))
    }

    /// The same map on parts: twice as many slots, real parts in the first half and imaginary ones in the second. All entries are real.
    pub fn on_parts(&self) -> Result<Self, CkksError> {
        let (half, slots) = (self.slots, 2 * self.slots);
        let mut parts = Self::zero(slots)?;
        for (offset, diagonal) in &self.diagonals {
            for (row, entry) in diagonal.iter().enumerate() {
                let from = (row + offset) % half;
                let (straight, crossed) = ((from + slots - row) % slots, (from + slots + half - row) % slots);
                for (offset, row, part) in [
                    (straight, row, entry.re),
                    (straight, row + half, entry.re),
                    (crossed, row, -entry.im),
                    (crossed, row + half, entry.im),
                ] {
                    if part != 0.0 {
                        let zeros = || vec![Complex64::ZERO; slots];
                        parts.diagonals.entry(offset).or_insert_with(zeros)[row] += part;
                    }
                }
            }
        }
        Ok(parts)
    }

    /// The map followed by a factor for each slot of the result.
    pub fn with_row_factors(mut self, factors: &[Complex64]) -> Result<Self, CkksError> {
        check_length("DiagonalMatrix::with_row_factors", "factors", factors.len(), self.slots)?;
        for diagonal in self.diagonals.values_mut() {
            diagonal.iter_mut().zip(factors).for_each(|(entry, factor)| *entry *= factor);
        }
        Ok(self)
    }

    /// Every entry multiplied by `factor`.
    pub fn scaled(mut self, factor: Complex64) -> Self {
        self.diagonals.values_mut().flatten().for_each(|entry| *entry *= factor);
        self
    }

    /// Drops the diagonals whose entries are all at most `tolerance` in magnitude.
    pub fn without_zero_diagonals(mut self, tolerance: f64) -> Self {
        self.diagonals.retain(|_, diagonal| diagonal.iter().any(|entry| entry.norm() > tolerance));
        self
    }

    /// The image of a vector of `slots` numbers, by the definition.
    pub fn apply(&self, x: &[Complex64]) -> Result<Vec<Complex64>, CkksError> {
        check_length("DiagonalMatrix::apply", "x", x.len(), self.slots)?;
        let mut image = vec![Complex64::ZERO; self.slots];
        for (offset, diagonal) in &self.diagonals {
            for (j, (sum, entry)) in image.iter_mut().zip(diagonal).enumerate() {
                *sum += entry * x[(j + offset) % self.slots];
            }
        }
        Ok(image)
    }
}

pub(crate) fn check_slots(operation: &'static str, slots: usize) -> Result<(), CkksError> {
    if slots.is_power_of_two() {
        return Ok(());
    }
    Err(CkksError::Precondition {
        operation,
        operand: "slots",
        found: slots.to_string(),
        required: "a power of two".into(),
        remedy: "use half the ring degree",
    })
}

pub(crate) fn check_length(
    operation: &'static str,
    operand: &'static str,
    found: usize,
    required: usize,
) -> Result<(), CkksError> {
    if found == required {
        return Ok(());
    }
    Err(CkksError::Precondition {
        operation,
        operand,
        found: format!("over {found} slots"),
        required: format!("over {required} slots"),
        remedy: "use vectors and maps of one ring",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(slots: usize) -> impl Strategy<Value = Vec<Complex64>> {
        prop::collection::vec((-1.0..1.0, -1.0..1.0).prop_map(|(re, im)| Complex64::new(re, im)), slots)
    }

    fn matrix(slots: usize) -> impl Strategy<Value = DiagonalMatrix> {
        prop::collection::vec((0..slots, vector(slots)), 1..6).prop_map(move |diagonals| {
            let zero = DiagonalMatrix::zero(slots).unwrap();
            diagonals.into_iter().fold(zero, |sum, (offset, diagonal)| sum.with_diagonal(offset, diagonal).unwrap())
        })
    }

    proptest! {
        #[test]
        fn composition_applies_the_inner_map_first(a in matrix(16), b in matrix(16), x in vector(16)) {
            let composed = a.compose(&b).unwrap().apply(&x).unwrap();
            let in_turn = a.apply(&b.apply(&x).unwrap()).unwrap();
            for (left, right) in composed.iter().zip(&in_turn) {
                prop_assert!((left - right).norm() < 1e-12);
            }
        }
    }

    #[test]
    fn diagonal_at_offset_one_is_a_rotation_to_the_left() {
        let shift = DiagonalMatrix::zero(4).unwrap().with_diagonal(1, vec![Complex64::ONE; 4]).unwrap();
        let x: Vec<_> = (0..4).map(|j| Complex64::new(j as f64, 0.0)).collect();
        let image: Vec<_> = shift.apply(&x).unwrap().iter().map(|value| value.re).collect();
        assert_eq!(image, [1.0, 2.0, 3.0, 0.0]);
    }

    #[test]
    fn zero_diagonals_are_dropped() {
        let identity = DiagonalMatrix::identity(8).unwrap();
        let matrix = identity.clone().with_diagonal(3, vec![Complex64::new(1e-20, 0.0); 8]).unwrap();
        assert_eq!(matrix.diagonal_count(), 2);
        assert_eq!(matrix.without_zero_diagonals(1e-18), identity);
        assert_eq!(identity.scaled(Complex64::ZERO).without_zero_diagonals(0.0).diagonal_count(), 0);
    }

    #[test]
    fn rejects_sizes_that_do_not_agree() {
        assert!(DiagonalMatrix::zero(12).is_err());
        let identity = DiagonalMatrix::identity(8).unwrap();
        assert!(identity.apply(&[Complex64::ONE; 4]).is_err());
        assert!(identity.compose(&DiagonalMatrix::identity(4).unwrap()).is_err());
        assert!(identity.with_diagonal(0, vec![]).is_err());
    }
}
