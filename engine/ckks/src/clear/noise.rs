//! Modelled errors of the encrypted scheme.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::refuse;
use crate::CkksError;

/// Standard deviations of the independent Gaussian errors that the encrypted scheme makes; zero switches one off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NoiseModel {
    /// Per coefficient of a half bootstrap, as a fraction of its range (the normalised value 1).
    pub half_bootstrap: f64,
    /// Per integer coefficient after SlotsToCoeffs.
    pub slots_to_coefficients: f64,
    /// Per integer coefficient of a fresh encryption.
    pub encryption: f64,
    /// Per integer entry of module rows or of a split vector, from ring switching; a matrix product multiplies it by the weights.
    pub module_rows: f64,
    /// Per integer coefficient after packing rows back.
    pub pack_rows: f64,
    /// Per integer coefficient of a factor over lanes, from SlotsToCoeffs and ring switching.
    pub slots_to_lanes: f64,
    /// Per integer coefficient of a product over lanes.
    pub lane_product: f64,
    /// Per integer coefficient of a product with a vector, from packing it.
    pub vector_product: f64,
    /// Per real slot after every rescaling; `2^-1.5` times that for either part of a complex slot.
    pub rescaling: f64,
}

/// Rounding noise of either part of a complex slot relative to that of a real slot, `2^-1.5`: a real slot weighs each
/// coefficient by `2 cos` where a part of a complex one weighs it by `cos`, which is four times the variance, and the product
/// with the secret in the symmetric basis doubles it again.
pub(super) const REAL_TO_COMPLEX: f64 = 0.353_553_390_593_273_8;

impl NoiseModel {
    pub(super) fn check(&self) -> Result<(), CkksError> {
        let sigmas = [
            self.half_bootstrap,
            self.slots_to_coefficients,
            self.encryption,
            self.module_rows,
            self.pack_rows,
            self.slots_to_lanes,
            self.lane_product,
            self.vector_product,
            self.rescaling,
        ];
        if sigmas.iter().all(|sigma| sigma.is_finite() && *sigma >= 0.0) {
            return Ok(());
        }
        Err(refuse(
            "Clear::new",
            "noise model",
            format!("{self:?}"),
            "finite numbers, not negative",
            "state each sigma",
        ))
    }
}

/// Gaussian numbers by the polar method (Marsaglia and Bray, 1964). Modelled noise protects nothing, so the generator
/// is chosen for reproducibility.
pub(super) struct NoiseSource {
    generator: ChaCha8Rng,
    spare: Option<f64>,
}

impl NoiseSource {
    pub(super) fn new(seed: u64) -> Self {
        Self { generator: ChaCha8Rng::seed_from_u64(seed), spare: None }
    }

    /// One number of mean 0 and variance 1.
    pub(super) fn gaussian(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let [x, y]: [f64; 2] = [self.generator.random_range(-1.0..1.0), self.generator.random_range(-1.0..1.0)];
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }
}
