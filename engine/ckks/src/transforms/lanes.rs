//! Maps on real slots that go with lanes.
//!
//! After a half bootstrap the real slots hold coefficients; the stages of the embedding that act inside rows of `L` slots make lanes of
//! them. Those are complex-linear maps on pairs of real slots, half of all slots apart, and on the one cycle of real slots
//! ordinary linear maps with twice as many diagonals.

use crate::{
    CkksError,
    transforms::{coefficients_slots::embedding_stages, slot_transform::SlotTransform},
};

/// The map of `degree` real slots that makes lanes of their coefficients: the `log2(lanes)` stages of smallest distance. One level.
///
/// # Errors
/// Unless degree and lanes are powers of two, and lanes fewer than half the degree.
pub fn lanes_from_coefficients(degree: usize, lanes: usize) -> Result<SlotTransform, CkksError> {
    if !degree.is_power_of_two() || !lanes.is_power_of_two() || 2 * lanes > degree {
        return Err(CkksError::Precondition {
            operation: "lanes_from_coefficients",
            operand: "lanes",
            found: format!("{lanes} in {degree} slots"),
            required: "powers of two, lanes at most half of the slots".into(),
            remedy: "use the lanes of a product",
        });
    }
    SlotTransform::new(embedding_stages(degree / 2, 0..lanes.trailing_zeros() as usize)?.on_parts()?)
}

#[cfg(test)]
mod tests {
    use num_complex::Complex64;

    use super::*;

    #[test]
    fn parts_are_mapped_as_complex_numbers_are() {
        const SLOTS: usize = 32;
        for lanes in [1_usize, 2, 8] {
            let parts: Vec<f64> = (0..2 * SLOTS).map(|j| (j as f64 * 0.7).sin()).collect();
            let complex: Vec<_> = (0..SLOTS).map(|j| Complex64::new(parts[j], parts[j + SLOTS])).collect();
            let stages = embedding_stages(SLOTS, 0..lanes.trailing_zeros() as usize).unwrap();
            let expected = stages.apply(&complex).unwrap();
            let found = lanes_from_coefficients(2 * SLOTS, lanes).unwrap().apply(&parts).unwrap();
            for (j, z) in expected.iter().enumerate() {
                assert!((found[j] - z.re).abs() < 1e-12 && (found[j + SLOTS] - z.im).abs() < 1e-12);
            }
        }
    }

    /// At the real degree: thirty-two lanes are 125 diagonals, evaluated by some twenty rotations.
    #[test]
    fn lanes_take_few_rotations() {
        let map = lanes_from_coefficients(1 << 12, 32).unwrap();
        assert_eq!(map.diagonal_count(), 125);
        assert!(map.plan().rotations() < 30, "{} rotations", map.plan().rotations());
    }

    #[test]
    fn rejects_lanes_that_do_not_fit() {
        assert!(lanes_from_coefficients(64, 3).is_err());
        assert!(lanes_from_coefficients(64, 64).is_err());
        assert!(lanes_from_coefficients(65, 2).is_err());
    }
}
