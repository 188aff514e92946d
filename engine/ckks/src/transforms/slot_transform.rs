//! A linear map on the real slots, with the rotations that evaluate it.

use std::sync::{Arc, OnceLock};

use num_complex::Complex64;

use crate::{
    CkksError, Packing,
    transforms::{
        baby_giant::{BabyGiantPlan, RotationCost},
        diagonal_coefficients::DiagonalCoefficients,
        diagonals::DiagonalMatrix,
        embedding::Embedding,
    },
};

/// A giant rotation, which decomposes and divides once more, in hoisted ones.
const ROTATION_COST: RotationCost = RotationCost { hoisted: 1.0, giant: 2.5 };

/// A linear map on all real slots of a ciphertext; they lie on one cycle of rotations. Evaluated by
/// [`crate::Evaluator::transform`] at the cost of one level.
#[derive(Clone, Debug)]
pub struct SlotTransform {
    /// Shared by all multiples of a map.
    map: Arc<PlannedMap>,
    factor: f64,
}

#[derive(Debug)]
struct PlannedMap {
    matrix: DiagonalMatrix,
    plan: BabyGiantPlan,
    /// Made when first needed.
    coefficients: OnceLock<DiagonalCoefficients>,
}

impl SlotTransform {
    /// Plans the rotations of a matrix with real entries.
    ///
    /// # Errors
    /// If the matrix has no diagonal, or an entry with an imaginary part.
    pub fn new(matrix: DiagonalMatrix) -> Result<Self, CkksError> {
        let entries = |offset: usize| matrix.diagonal(offset).unwrap_or_default();
        if let Some(offset) = matrix.offsets().find(|&offset| entries(offset).iter().any(|entry| entry.im != 0.0)) {
            return Err(CkksError::Precondition {
                operation: "SlotTransform::new",
                operand: "matrix",
                found: format!("imaginary entries on diagonal {offset}"),
                required: "real entries".into(),
                remedy: "map real and imaginary parts with DiagonalMatrix::on_parts",
            });
        }
        let plan = BabyGiantPlan::new(matrix.slots(), matrix.offsets(), ROTATION_COST)?;
        Ok(Self { map: Arc::new(PlannedMap { matrix, plan, coefficients: OnceLock::new() }), factor: 1.0 })
    }

    /// The map that brings to slot `j` what is in slot `source(j)`.
    ///
    /// # Errors
    /// Unless `slots` is a power of two and every source is below it.
    pub fn gather(slots: usize, source: impl Fn(usize) -> usize) -> Result<Self, CkksError> {
        let mut diagonals = std::collections::BTreeMap::new();
        for slot in 0..slots {
            let from = source(slot);
            if from >= slots {
                return Err(CkksError::Precondition {
                    operation: "SlotTransform::gather",
                    operand: "source",
                    found: format!("{from} for slot {slot}"),
                    required: format!("below {slots}"),
                    remedy: "gather within one ciphertext",
                });
            }
            let offset = (from + slots - slot) % slots;
            diagonals.entry(offset).or_insert_with(|| vec![Complex64::ZERO; slots])[slot] = Complex64::ONE;
        }
        let matrix = (diagonals.into_iter()).try_fold(DiagonalMatrix::zero(slots)?, |matrix, (offset, diagonal)| {
            matrix.with_diagonal(offset, diagonal)
        })?;
        Self::new(matrix)
    }

    /// The map followed by a factor, with the same rotations.
    ///
    /// # Errors
    /// Unless the factor is finite.
    pub fn scaled(&self, factor: f64) -> Result<Self, CkksError> {
        if !factor.is_finite() {
            return Err(CkksError::Precondition {
                operation: "SlotTransform::scaled",
                operand: "factor",
                found: factor.to_string(),
                required: "a finite number".into(),
                remedy: "check the range it was made for",
            });
        }
        Ok(Self { map: Arc::clone(&self.map), factor: self.factor * factor })
    }

    /// How many diagonals are not zero.
    pub fn diagonal_count(&self) -> usize {
        self.map.matrix.diagonal_count()
    }

    /// What the map is multiplied by beside what [`SlotTransform::coefficients`] has of it.
    pub(crate) fn factor(&self) -> f64 {
        self.factor
    }

    /// The diagonals as polynomials of the conjugate-invariant ring, before the factor; the embedding is that of its degree.
    pub(crate) fn coefficients(&self, embedding: &Embedding) -> Result<&DiagonalCoefficients, CkksError> {
        if let Some(known) = self.map.coefficients.get() {
            return Ok(known);
        }
        let PlannedMap { matrix, plan, coefficients } = self.map.as_ref();
        let embedded = DiagonalCoefficients::new(embedding, Packing::Real, plan, matrix)?;
        Ok(coefficients.get_or_init(|| embedded))
    }

    /// The rotations that evaluate it.
    pub fn plan(&self) -> &BabyGiantPlan {
        &self.map.plan
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.map.matrix.slots()
    }

    /// The image of real slots, by the definition.
    ///
    /// # Errors
    /// If their number is another one.
    pub fn apply(&self, slots: &[f64]) -> Result<Vec<f64>, CkksError> {
        let slots: Vec<_> = slots.iter().map(|&slot| slot.into()).collect();
        Ok(self.apply_complex(&slots)?.into_iter().map(|image| image.re).collect())
    }

    pub(crate) fn apply_complex(&self, slots: &[Complex64]) -> Result<Vec<Complex64>, CkksError> {
        Ok(self.map.matrix.apply(slots)?.into_iter().map(|image| image * self.factor).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathering_brings_each_slot_its_source() {
        let slots: Vec<f64> = (0..16).map(f64::from).collect();
        let map = SlotTransform::gather(16, |slot| slot ^ 5).unwrap();
        let expected: Vec<f64> = (0..16).map(|slot| f64::from(slot ^ 5)).collect();
        assert_eq!(map.apply(&slots).unwrap(), expected);
        let doubled: Vec<f64> = expected.iter().map(|slot| 2.0 * slot).collect();
        assert_eq!(map.scaled(2.0).unwrap().apply(&slots).unwrap(), doubled);
    }

    #[test]
    fn rejects_imaginary_entries_and_sources_outside() {
        let turned = DiagonalMatrix::identity(8).unwrap().scaled(Complex64::I);
        assert!(SlotTransform::new(turned).unwrap_err().to_string().contains("imaginary"));
        assert!(SlotTransform::new(DiagonalMatrix::zero(8).unwrap()).is_err());
        assert!(SlotTransform::gather(8, |slot| slot + 1).is_err());
        assert!(SlotTransform::gather(12, |slot| slot).is_err());
        assert!(SlotTransform::gather(8, |slot| slot).unwrap().apply(&[0.0; 4]).is_err());
        assert!(SlotTransform::gather(8, |slot| slot).unwrap().scaled(f64::NAN).is_err());
    }
}
