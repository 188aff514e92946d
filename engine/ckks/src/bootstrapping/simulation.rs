//! What precision to expect of a half bootstrap: its arithmetic in f64 on uniform coefficients, with modelled noise.
//!
//! The message of a half bootstrap are *coefficients*. Uniform slots would have coefficients around `2^-8` of the range and
//! hide the cubic error of the sine, hence the coefficients here are uniform in the whole range. Simulated are
//!
//! * the integer part `I` that ModRaise leaves under an ephemeral secret of weight `h`: a sum of `h + 1` rounding errors,
//!   each uniform in `[-1/2, 1/2]`, rounded;
//! * EvalMod as the product of [`crate::bootstrapping::sine`], with a Gaussian error at every rescaling and on its input;
//! * optionally the cubic correction, at the precision of the compute levels.
//!
//! The encrypted bootstrapping is tested against the resulting table.
//!
//! What limits the precision is the first squaring: an error of `T_2(u)` reaches the result multiplied by
//! `K'^2 / (4 |t - 1/4|)`, up to 264 at `t = 0`, whatever follows. Hence the doubled basis of [`crate::polynomials::plan`].

use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::bootstrapping::sine::{SineParameters, SinePolynomial, correct_sine, evaluate_sine};
use crate::bootstrapping::slot_simulator::SlotSimulator;
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
    /// A full ciphertext of degree `N = 2^16`, 50-bit EvalMod scales, 42-bit compute scales.
    ///
    /// A rescaling rounds two polynomials; the second is multiplied by a dense ternary secret, so that the error of a
    /// coefficient has variance `N / 18` and that of a real slot, the sum of `N` of them times cosines, `N^2 / 36`. Its
    /// standard deviation `N / 6 = 2^13.4` is `2^-36.6` of the EvalMod scale.
    pub fn degree_2_to_16() -> Self {
        let rescaling_error = (1 << 16) as f64 / 6.0;
        Self {
            coefficients: 1 << 16,
            secret_weight: 32,
            sine_noise: rescaling_error / 2f64.powi(50),
            compute_noise: rescaling_error / 2f64.powi(42),
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
            degree: self.coefficients,
            small_degree: self.coefficients,
            compute_levels: levels,
            slots_to_coefficients_levels: 0,
            full_scale: 1.0,
            message_ratio,
            lane_degree: self.coefficients,
            lane_divisor: 1.0,
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

    /// The table that the encrypted half bootstrap has to reproduce; the plain sine has its closed form `(2 pi r)^2 / 24`
    /// for the mean of `(2 pi r)^2 |x|^3 / 6`.
    #[test]
    fn precision_by_message_ratio() {
        let rows = rows(&PrecisionSimulation::degree_2_to_16());
        rows.iter().for_each(|row| println!("{row}"));
        let expected = [(-15.3, -13.3), (-23.0, -19.3), (-17.3, -15.2), (-22.0, -18.3), (-19.1, -16.6), (-21.0, -17.3)];
        for (row, (mean, worst)) in rows.iter().zip(expected) {
            assert!((row.mean_bits - mean).abs() < 0.3 && (row.worst_bits - worst).abs() < 0.7, "{row}");
        }
        let cubic = (std::f64::consts::TAU / 256.0).powi(2) / 24.0;
        assert!((rows[0].mean_bits - cubic.log2()).abs() < 0.05);
    }

    #[test]
    fn degree_28_costs_little_precision() {
        let simulation = PrecisionSimulation { degree: 28, ..PrecisionSimulation::degree_2_to_16() };
        let [_, corrected] = simulation.run(2f64.powi(-8)).unwrap();
        assert!(corrected.mean_bits < -22.2, "{corrected}");
    }

    #[test]
    fn without_noise_the_fifth_order_term_remains() {
        let quiet =
            PrecisionSimulation { sine_noise: 0.0, compute_noise: 0.0, ..PrecisionSimulation::degree_2_to_16() };
        let [_, corrected] = quiet.run(2f64.powi(-8)).unwrap();
        let fifth = 3.0 * (std::f64::consts::TAU / 256.0).powi(4) / 40.0;
        assert!((corrected.worst_bits - fifth.log2()).abs() < 0.5, "{corrected}");
    }

    #[test]
    fn rejects_impossible_message_ratios() {
        assert!(PrecisionSimulation::degree_2_to_16().run(0.0).is_err());
        assert!(PrecisionSimulation::degree_2_to_16().run(0.5).is_err());
    }
}
