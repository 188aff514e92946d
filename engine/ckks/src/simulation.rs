//! What precision to expect of a half bootstrap: its arithmetic in f64 on uniform coefficients, with modelled noise.
//!
//! The message of a half bootstrap are *coefficients*. Uniform slots would have coefficients around `2^-8` of the range and
//! hide the cubic error of the sine, hence the coefficients here are uniform in the whole range. Simulated are
//!
//! * the integer part `I` that ModRaise leaves under an ephemeral secret of weight `h`: a sum of `h + 1` rounding errors,
//!   each uniform in `[-1/2, 1/2]`, rounded;
//! * EvalMod as the product of [`crate::sine`], with a Gaussian error at every rescaling and on its input;
//! * optionally the cubic correction, at the precision of the compute levels.
//!
//! The encrypted bootstrapping is tested against the resulting table.

use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::sine::{SineParameters, SinePolynomial, correct_sine, evaluate_sine};
use crate::slot_simulator::SlotSimulator;
use crate::{CircuitShape, CkksError};

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct PrecisionSimulation {
    /// Real coefficients.
    pub coefficients: usize,
    /// Hamming weight of the ephemeral secret.
    pub secret_weight: usize,
    /// Standard deviation of a rescaling error in EvalMod, as a fraction of the scale.
    pub sine_noise: f64,
    /// The same at the compute levels, where the correction runs.
    pub compute_noise: f64,
    /// Degree of the cosine polynomial.
    pub degree: usize,
    /// Seed of the messages, integer parts and errors.
    pub seed: u64,
}

impl PrecisionSimulation {
    /// A full ciphertext of degree `2^16`: a rescaling under a dense ternary secret costs about `2^14` per slot (the
    /// rounding errors of `N` coefficients times `N` secret coefficients: `N / sqrt(18)` in standard deviation), `2^-36` of
    /// 50-bit EvalMod scales and `2^-28` of 42-bit compute scales.
    pub fn degree_2_to_16() -> Self {
        Self {
            coefficients: 1 << 16,
            secret_weight: 32,
            sine_noise: 2f64.powi(-36),
            compute_noise: 2f64.powi(-28),
            degree: 30,
            seed: 0,
        }
    }

    /// Simulates one message ratio, without and with the cubic correction.
    pub fn run(&self, message_ratio: f64) -> Result<[PrecisionRow; 2], CkksError> {
        let sine = SinePolynomial::new(&SineParameters::sparse_secret_32(message_ratio, self.degree))?;
        let mut rng = ChaCha12Rng::seed_from_u64(self.seed);
        let messages: Vec<f64> = (0..self.coefficients).map(|_| rng.random_range(-1.0..=1.0)).collect();
        let arguments = messages.iter().map(|message| {
            let integer = (0..=self.secret_weight).map(|_| rng.random_range(-0.5..0.5)).sum::<f64>().round();
            (integer + message_ratio * message) / sine.half_width()
        });
        let shape = |levels| CircuitShape {
            slots: self.coefficients,
            compute_levels: levels,
            slots_to_coefficients_levels: 0,
            full_scale: 1.0,
            message_ratio,
        };
        let sine_levels = SlotSimulator::new(shape(sine.levels()), self.sine_noise, self.seed + 1);
        let reduced = evaluate_sine(&sine_levels, &sine_levels.slots(arguments.collect(), sine.levels()), &sine)?;
        // Message ratio times the EvalMod scale is the compute scale: the same ciphertext, read as messages of size one.
        let normalised: Vec<f64> = reduced.values.iter().map(|value| value / message_ratio).collect();
        let compute_levels = SlotSimulator::new(shape(2), self.compute_noise, self.seed + 2);
        let corrected = correct_sine(&compute_levels, &compute_levels.noiseless_slots(normalised.clone(), 2))?;
        let row = |corrected, values: &[f64]| PrecisionRow::new(message_ratio, corrected, values, &messages);
        Ok([row(false, &normalised), row(true, &corrected.values)])
    }
}

/// Errors of one simulated half bootstrap, relative to the largest message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRow {
    /// Largest message as a fraction of `q_0`.
    pub message_ratio: f64,
    /// Whether the cubic correction was applied.
    pub corrected: bool,
    /// Binary logarithm of the mean absolute error.
    pub mean_bits: f64,
    /// Binary logarithm of the largest absolute error.
    pub worst_bits: f64,
}

impl PrecisionRow {
    fn new(message_ratio: f64, corrected: bool, values: &[f64], messages: &[f64]) -> Self {
        let errors = || values.iter().zip(messages).map(|(value, message)| (value - message).abs());
        let mean = errors().sum::<f64>() / messages.len() as f64;
        Self { message_ratio, corrected, mean_bits: mean.log2(), worst_bits: errors().fold(0.0, f64::max).log2() }
    }
}

impl fmt::Display for PrecisionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.corrected { "with cubic arcsine" } else { "plain sine" };
        let Self { message_ratio, mean_bits, worst_bits, .. } = self;
        write!(f, "r = 2^{:<5.1} {method:<18} mean 2^{mean_bits:.1}  worst 2^{worst_bits:.1}", message_ratio.log2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(simulation: &PrecisionSimulation) -> Vec<PrecisionRow> {
        [-8, -9, -10].iter().flat_map(|&log| simulation.run(2f64.powi(log)).unwrap()).collect()
    }

    /// The table that the encrypted half bootstrap has to reproduce.
    #[test]
    fn precision_by_message_ratio() {
        let expected = [(-15.3, -13.3), (-23.4, -19.8), (-17.3, -15.2), (-22.4, -18.5), (-19.2, -16.9), (-21.4, -17.7)];
        for (row, (mean, worst)) in rows(&PrecisionSimulation::degree_2_to_16()).iter().zip(expected) {
            println!("{row}   (expected {mean} / {worst})");
        }
    }
}
