//! EvalMod: reduction modulo `q_0` as a scaled sine, and the cubic correction of the sine.
//!
//! After ModRaise and CoeffsToSlots a slot holds `t = I + m / q_0` with a small integer `I`, `|I| <= K`. Reduction is
//! `sin(2 pi t) / (2 pi)`, computed as `cos(2 pi (t - 1/4))`: an even polynomial for `cos(2 pi (t - 1/4) / 2^d)`, then `d`
//! double angles (Cheon, Han, Kim, Kim, Song, EUROCRYPT 2018; Han, Ki: *Better Bootstrapping for Approximate Homomorphic
//! Encryption*, CT-RSA 2020). From `A cos` the double angle is `y^2 - A^2 / 2`, of amplitude `A^2 / 2`: amplitudes that end in
//! `1 / (2 pi)` cost no level, and no product is doubled together with its rescaling error.
//!
//! The polynomial is fitted where it is used only, near integers `t` (as Han and Ki do by their choice of nodes), and in the
//! maximum norm of the error *after* the double angles, which amplify an error at angle `theta` by `2^d / |sin theta|` times
//! the amplitudes. `|I|` near `K` has a probability far below one per run: there a larger error is accepted, which
//! gains three bits where `I` usually is.

use std::f64::consts::TAU;

use crate::polynomials::evaluation::{evaluate_chebyshev, square_minus};
use crate::polynomials::minimax::{WeightedSample, minimax_coefficients};
use crate::{CkksError, SlotArithmetic};

/// Factor on the error between the neighbourhoods of integers, where no argument lies: keeps high degrees from oscillating.
const GAP_ERROR: f64 = 4096.0;

/// What the sine has to cover.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SineParameters {
    /// `K`: largest integer part of the argument.
    pub range: usize,
    /// Largest integer part at full precision.
    pub typical_range: usize,
    /// Factor on the error accepted between `typical_range` and `range`.
    pub rare_error: f64,
    /// Largest distance of the argument from an integer, `r = |m| / q_0`.
    pub message_ratio: f64,
    /// Even degree of the polynomial.
    pub degree: usize,
    /// Double angles after the polynomial.
    pub double_angles: usize,
    /// Amplitude of the result: `amplitude * sin(2 pi t)`.
    pub amplitude: f64,
}

impl SineParameters {
    /// Values for an ephemeral secret of weight 32: `K = 16` (33 rounding errors of at most 1/2 add up to no more), full
    /// precision for `|I| <= 10` (exceeded with probability below `2^-32` per coefficient, by Chernoff's bound), 64 times the
    /// error beyond, three double angles, output `sin(2 pi t) / (2 pi)`.
    ///
    /// Degree 30 takes 12 products in all and errs by `2^-27` of the message range at `r = 2^-8`, degree 28 takes 11 and errs
    /// by `2^-22.5`.
    pub fn sparse_secret_32(message_ratio: f64, degree: usize) -> Self {
        Self {
            range: 16,
            typical_range: 10,
            rare_error: 64.0,
            message_ratio,
            degree,
            double_angles: 3,
            amplitude: 1.0 / TAU,
        }
    }
}

/// The polynomial and the constants of one EvalMod.
#[derive(Clone, Debug, PartialEq)]
pub struct SinePolynomial {
    half_width: f64,
    coefficients: Vec<f64>,
    double_angle_constants: Vec<f64>,
    amplitude: f64,
}

impl SinePolynomial {
    /// Fits the polynomial.
    pub fn new(parameters: &SineParameters) -> Result<Self, CkksError> {
        check(parameters)?;
        let SineParameters { range, typical_range, rare_error, message_ratio, degree, double_angles, amplitude } =
            *parameters;
        let half_width = range as f64 + 0.25;
        let frequency = TAU / 2f64.powi(double_angles as i32);
        let earlier = |amplitude: &f64| Some((2.0 * amplitude).sqrt());
        let mut amplitudes: Vec<_> = std::iter::successors(Some(amplitude), earlier).take(double_angles + 1).collect();
        amplitudes.reverse();
        let first_amplitude = amplitudes[0];
        let sample = |integer: i64, distance: f64, tolerance: f64| {
            let angle = frequency * (integer as f64 - 0.25 + distance);
            let u = angle / (frequency * half_width);
            let rarity = if integer.unsigned_abs() as usize > typical_range { rare_error } else { 1.0 };
            // Even in u, hence a polynomial of half the degree in T_2(u). The amplitudes of the later steps are constant.
            WeightedSample {
                argument: 2.0 * u * u - 1.0,
                value: first_amplitude * angle.cos(),
                weight: 1.0 / (angle.sin().abs() * rarity * tolerance),
            }
        };
        let range = range as i64;
        let near = |integer| [-1.0, -0.6, 0.0, 0.6, 1.0].map(|f| sample(integer, f * message_ratio, 1.0));
        let gap = |integer| [0.3, 0.45, 0.65].map(|distance| sample(integer, distance, GAP_ERROR));
        let mut samples: Vec<_> = (-range..=range).flat_map(near).collect();
        samples.extend((-range..range).flat_map(gap));
        let halved = minimax_coefficients(&samples, degree / 2)?;
        let coefficients = (0..=degree).map(|k| if k % 2 == 0 { halved[k / 2] } else { 0.0 }).collect();
        // A^2 / 2 is the next amplitude.
        let double_angle_constants = amplitudes.split_off(1);
        Ok(Self { half_width, coefficients, double_angle_constants, amplitude })
    }

    /// `K' = K + 1/4`: the input of [`evaluate_sine`] is `t / K'`.
    pub fn half_width(&self) -> f64 {
        self.half_width
    }

    /// `1 / (4 K')`, subtracted from the input: the quarter period between sine and cosine.
    pub fn shift(&self) -> f64 {
        0.25 / self.half_width
    }

    /// Chebyshev coefficients on `[-1, 1]` in `u = (t - 1/4) / K'`; the odd ones are exactly zero.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// What each double angle subtracts, in order: `y -> y^2 - constant`.
    pub fn double_angle_constants(&self) -> &[f64] {
        &self.double_angle_constants
    }

    /// Levels that [`evaluate_sine`] consumes.
    pub fn levels(&self) -> usize {
        let polynomial = self.coefficients.len().next_power_of_two().ilog2() as usize;
        polynomial + self.double_angle_constants.len()
    }

    /// The value at `t` in f64.
    pub fn evaluate(&self, t: f64) -> f64 {
        let value = crate::polynomials::chebyshev::clenshaw(&self.coefficients, t / self.half_width - self.shift());
        self.double_angle_constants.iter().fold(value, |y, constant| y * y - constant)
    }

    /// The function approximated.
    pub fn exact(&self, t: f64) -> f64 {
        self.amplitude * (TAU * (t - t.round())).sin()
    }
}

/// EvalMod: slots `t / K'` become `amplitude * sin(2 pi t)`, consuming [`SinePolynomial::levels`].
pub fn evaluate_sine<E: SlotArithmetic + ?Sized>(
    evaluator: &E,
    x: &E::Slots,
    sine: &SinePolynomial,
) -> Result<E::Slots, CkksError> {
    let shifted = evaluator.add_constant(x, -sine.shift())?;
    let polynomial = evaluate_chebyshev(evaluator, &shifted, &sine.coefficients)?;
    sine.double_angle_constants.iter().try_fold(polynomial, |y, &constant| square_minus(evaluator, &y, constant))
}

/// Factor of the cubic term that undoes the sine of messages normalised to `sin(2 pi r x) / (2 pi r)`.
pub fn cubic_correction(message_ratio: f64) -> f64 {
    (TAU * message_ratio).powi(2) / 6.0
}

/// The arcsine to third order after a half bootstrap: `y -> y + c y^3` with [`cubic_correction`], two levels.
///
/// The remaining error is `3 (2 pi r)^4 / 40`, `2^-25` for `r = 2^-8`, relative to the full range.
pub fn correct_sine<E: SlotArithmetic + ?Sized>(evaluator: &E, y: &E::Slots) -> Result<E::Slots, CkksError> {
    let factor = cubic_correction(evaluator.shape().message_ratio);
    let scaled = evaluator.linear_combination(&[(y, factor)], 0.0)?;
    let square = evaluator.square(y)?;
    evaluator.add(&evaluator.multiply(&scaled, &square)?, y)
}

fn check(parameters: &SineParameters) -> Result<(), CkksError> {
    let p = parameters;
    let conditions = [
        ("degree", p.degree.to_string(), p.degree.is_multiple_of(2) && p.degree >= 2, "even and positive"),
        ("range", p.range.to_string(), (1..=64).contains(&p.range), "between 1 and 64"),
        ("message_ratio", p.message_ratio.to_string(), p.message_ratio > 0.0 && p.message_ratio < 0.25, "in (0, 1/4)"),
        ("double_angles", p.double_angles.to_string(), p.double_angles <= 6, "at most 6"),
        ("amplitude", p.amplitude.to_string(), p.amplitude > 0.0 && p.amplitude <= 1.0, "in (0, 1]"),
        ("rare_error", p.rare_error.to_string(), p.rare_error >= 1.0 && p.rare_error.is_finite(), "at least 1"),
    ];
    match conditions.into_iter().find(|(_, _, holds, _)| !holds) {
        None => Ok(()),
        Some((operand, found, _, required)) => Err(CkksError::Precondition {
            operation: "SinePolynomial::new",
            operand,
            found,
            required: required.into(),
            remedy: "start from SineParameters::sparse_secret_32",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CircuitShape;
    use crate::bootstrapping::slot_simulator::SlotSimulator;
    use crate::polynomials::plan::ChebyshevPlan;

    const RATIO: f64 = 1.0 / 256.0;

    /// Largest error over arguments with integer parts in the range, in bits of the message range.
    fn bits(sine: &SinePolynomial, integers: std::ops::RangeInclusive<i64>) -> f64 {
        let fractions: Vec<f64> = (-20..=20).map(|k| RATIO * k as f64 / 20.0).collect();
        let errors = integers.flat_map(|integer| {
            let at = |fraction: &f64| integer as f64 + fraction;
            fractions.iter().map(move |f| (sine.evaluate(at(f)) - sine.exact(at(f))).abs()).collect::<Vec<_>>()
        });
        (errors.fold(0.0, f64::max) / RATIO).log2()
    }

    #[test]
    fn fit_error_lies_below_the_noise_of_bootstrapping() {
        let sine = SinePolynomial::new(&SineParameters::sparse_secret_32(RATIO, 30)).unwrap();
        assert!(bits(&sine, -10..=10) < -26.5 && bits(&sine, -16..=16) < -20.5);
        let sine = SinePolynomial::new(&SineParameters::sparse_secret_32(RATIO, 28)).unwrap();
        assert!(bits(&sine, -10..=10) < -22.0 && bits(&sine, -16..=16) < -16.0);
        let uniform = SineParameters { typical_range: 16, ..SineParameters::sparse_secret_32(RATIO, 30) };
        let uniform = SinePolynomial::new(&uniform).unwrap();
        assert!(bits(&uniform, -16..=16) < -23.5 && bits(&uniform, -10..=10) > -25.0);
    }

    #[test]
    fn other_shapes_of_the_same_sine_work() {
        for (degree, double_angles, expected) in [(44, 2, -22.5), (62, 2, -33.0), (80, 1, -27.0), (20, 4, -25.5)] {
            let parameters = SineParameters { double_angles, ..SineParameters::sparse_secret_32(RATIO, degree) };
            let sine = SinePolynomial::new(&parameters).unwrap();
            assert!(bits(&sine, -10..=10) < expected, "degree {degree}: {}", bits(&sine, -10..=10));
            assert!(sine.coefficients().iter().all(|c| c.abs() < 1.5));
        }
    }

    fn simulator() -> SlotSimulator {
        let shape = CircuitShape {
            degree: 128,
            small_degree: 128,
            compute_levels: 8,
            slots_to_coefficients_levels: 0,
            full_scale: 1.0,
            message_ratio: RATIO,
            lane_degree: 1,
            lane_divisor: 1.0,
        };
        SlotSimulator::new(shape, 0.0, 0)
    }

    #[test]
    fn homomorphic_evaluation_takes_eight_levels_and_eleven_or_twelve_products() {
        for (degree, products) in [(28, 8 + 3), (30, 9 + 3)] {
            let sine = SinePolynomial::new(&SineParameters::sparse_secret_32(RATIO, degree)).unwrap();
            let simulator = simulator();
            let arguments: Vec<f64> = (0..128).map(|j| (j % 21) as f64 - 10.0 + RATIO * (j as f64).sin()).collect();
            let scaled = arguments.iter().map(|t| t / sine.half_width()).collect();
            let value = evaluate_sine(&simulator, &simulator.slots(scaled, 8), &sine).unwrap();
            for (found, &t) in value.values.iter().zip(&arguments) {
                assert!((found - sine.evaluate(t)).abs() < 1e-12);
            }
            assert_eq!(simulator.level(&value).0, 8 - sine.levels());
            assert_eq!((sine.levels(), simulator.counts().products), (8, products));
            assert_eq!(ChebyshevPlan::new(sine.coefficients()).unwrap().levels(), 5);
        }
    }

    #[test]
    fn correction_leaves_the_fifth_order_error_only() {
        let simulator = simulator();
        let messages: Vec<f64> = (0..128).map(|j| j as f64 / 63.5 - 1.0).collect();
        let sines = messages.iter().map(|x| (TAU * RATIO * x).sin() / (TAU * RATIO)).collect();
        let corrected = correct_sine(&simulator, &simulator.slots(sines, 8)).unwrap();
        let error = corrected.values.iter().zip(&messages).map(|(y, x)| (y - x).abs()).fold(0.0, f64::max);
        let expected = 3.0 * (TAU * RATIO).powi(4) / 40.0;
        assert!((error / expected - 1.0).abs() < 0.01, "{error:e} against {expected:e}");
        assert_eq!((simulator.level(&corrected).0, simulator.counts().products), (6, 2));
    }

    #[test]
    fn rejects_parameters_that_do_not_make_sense() {
        let good = SineParameters::sparse_secret_32(RATIO, 30);
        for bad in [
            SineParameters { degree: 31, ..good },
            SineParameters { degree: 600, ..good },
            SineParameters { range: 0, ..good },
            SineParameters { message_ratio: 0.25, ..good },
            SineParameters { double_angles: 7, ..good },
            SineParameters { amplitude: 0.0, ..good },
            SineParameters { rare_error: f64::NAN, ..good },
        ] {
            assert!(SinePolynomial::new(&bad).is_err(), "{bad:?}");
        }
        assert!((cubic_correction(RATIO) - (TAU / 256.0).powi(2) / 6.0).abs() < 1e-18);
    }
}
