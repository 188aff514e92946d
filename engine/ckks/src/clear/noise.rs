//! Modelled errors of the encrypted scheme.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use fhe_rlwe::security::SIGMA;

use super::refuse;
use crate::{CkksError, Level, Parameters};

/// Standard deviations of the independent Gaussian errors that the encrypted scheme makes; zero switches one off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NoiseModel {
    /// Per coefficient of a half bootstrap, as a fraction of its range (the normalised value 1).
    pub half_bootstrap: f64,
    /// Per integer coefficient after SlotsToCoeffs: the rounding of its last division.
    pub slots_to_coefficients: f64,
    /// The same as a fraction of the unit: what its other factors leave.
    pub slots_to_coefficients_relative: f64,
    /// Per integer coefficient of a fresh encryption.
    pub encryption: f64,
    /// Per integer entry of module rows or of a split vector, from ring switching; a matrix product multiplies it by the weights.
    pub module_rows: f64,
    /// Per integer coefficient after packing rows back.
    pub pack_rows: f64,
    /// Per integer coefficient of a factor over lanes, from the last division and ring switching.
    pub slots_to_lanes: f64,
    /// The same as a fraction of the unit and of the mean over lanes that a coefficient is: `2^-1/2` of it for one lane.
    pub slots_to_lanes_relative: f64,
    /// Per integer coefficient of a product over lanes.
    pub lane_product: f64,
    /// Per integer coefficient of a product with a vector, from packing it, and per coefficient of a block: the packing tree adds up as
    /// many errors as a block is long.
    pub vector_product: f64,
    /// Per real slot after every rescaling; `2^-1.5` times that for either part of a complex slot.
    pub rescaling: f64,
}

/// Rounding noise of either part of a complex slot relative to that of a real slot, `2^-1.5`: a real slot weighs each
/// coefficient by `2 cos` where a part of a complex one weighs it by `cos`, which is four times the variance, and the product
/// with the secret in the symmetric basis doubles it again.
pub(super) const REAL_TO_COMPLEX: f64 = 0.353_553_390_593_273_8;

/// Variance of the rounding of both halves of a ciphertext of degree `n` under a ternary secret.
fn rounding(degree: f64) -> f64 {
    (1.0 + 2.0 / 3.0 * degree) / 12.0
}

/// Errors of a half bootstrap in units of that of a rescaling of real slots.
const HALF_BOOTSTRAP: f64 = 80.0;
/// Errors of the first factors of SlotsToCoeffs in the same units, as they arrive in coefficients.
const SLOTS_TO_COEFFICIENTS: f64 = 0.09;
/// The same for a factor over lanes, before the mean over them.
const SLOTS_TO_LANES: f64 = 0.28;

impl NoiseModel {
    /// What the scheme's errors come to for blocks of so many tokens.
    ///
    /// Rounding is `(1 + 2n/3) / 12` in every coefficient, of a division as of a switch to a secret of degree `n`; a switch whose digit is as
    /// large as the special modulus adds `sigma^2 N / 12`. Where an operation makes several errors, factors were measured; a test holds
    /// every number against the encrypted scheme, within a quarter of a bit.
    pub fn of(parameters: &Parameters, tokens: usize) -> Self {
        let (shape, rlwe) = (parameters.shape(), parameters.rlwe());
        let [q, p] =
            [rlwe.chain().ciphertext_primes(), rlwe.chain().special_primes()].map(|primes| primes[0].value() as f64);
        let [main, small] = [shape.degree, shape.small_degree].map(|degree| degree as f64);
        let whole_digit = |degree: f64| (SIGMA * q / p).powi(2) * degree / 12.0;
        let rank = small / tokens as f64;
        let real_slot = REAL_TO_COMPLEX.recip() * (main / 2.0 * rounding(main)).sqrt();
        let rescaling = real_slot / parameters.scale(Level(shape.slots_to_coefficients_levels), None);
        Self {
            half_bootstrap: HALF_BOOTSTRAP * rescaling,
            slots_to_coefficients: rounding(main).sqrt(),
            slots_to_coefficients_relative: SLOTS_TO_COEFFICIENTS * rescaling,
            encryption: SIGMA,
            module_rows: rounding(small).sqrt(),
            pack_rows: (rank * whole_digit(main) + rounding(main)).sqrt(),
            slots_to_lanes: (rounding(main) + rounding(shape.lane_degree as f64)).sqrt(),
            slots_to_lanes_relative: SLOTS_TO_LANES * rescaling,
            lane_product: (whole_digit(main) + rounding(main)).sqrt(),
            vector_product: ((whole_digit(small) + rounding(small)) / 3.0).sqrt(),
            rescaling,
        }
    }

    /// The same with half bootstraps of another precision: `bits` is that of the mean error, `2^-bits` of the range.
    #[must_use]
    pub fn with_bootstrap_bits(self, bits: f64) -> Self {
        // The mean magnitude of a Gaussian number is sqrt(2 / pi) of its standard deviation.
        Self { half_bootstrap: (-bits).exp2() * std::f64::consts::FRAC_PI_2.sqrt(), ..self }
    }

    pub(super) fn check(&self) -> Result<(), CkksError> {
        let sigmas = [
            self.half_bootstrap,
            self.slots_to_coefficients,
            self.slots_to_coefficients_relative,
            self.encryption,
            self.module_rows,
            self.pack_rows,
            self.slots_to_lanes,
            self.slots_to_lanes_relative,
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
