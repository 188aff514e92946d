//! What the tests of circuits share: a small shape, the clear evaluator, seeded numbers.

use fhe_ckks::{CircuitShape, Clear, NoiseModel};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The level structure of the real parameter set on a small ring.
pub(crate) fn shape(log_degree: u32) -> CircuitShape {
    CircuitShape {
        degree: 1 << log_degree,
        small_degree: 1 << (log_degree - 3),
        compute_levels: 14,
        slots_to_coefficients_levels: 3,
        full_scale: (1_u64 << 42) as f64,
        message_ratio: 1.0 / 256.0,
        lane_degree: 1 << (log_degree - 3),
        lane_divisor: (1_u64 << 42) as f64,
    }
}

/// The clear evaluator without noise.
pub(crate) fn clear(shape: &CircuitShape) -> Clear {
    Clear::new(shape.clone(), (), NoiseModel::default(), 0).unwrap()
}

/// Uniform numbers in [-1, 1].
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn vector(&mut self, length: usize) -> Vec<f64> {
        (0..length).map(|_| self.0.random_range(-1.0..1.0)).collect()
    }
}

/// Panics at the first entry that is off by more than `tolerance`.
#[track_caller]
pub(crate) fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "entry {index}: {found}, expected {expected}");
    }
}
