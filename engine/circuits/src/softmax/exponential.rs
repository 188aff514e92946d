//! The exponential of a fraction of the scores, with the mask in its coefficients.
//!
//! Pairs that are not live take coefficients of zero: a mask at no level, for as many products with plaintexts as the polynomial has coefficients. Where every pair
//! is live, or nobody asks what becomes of the others, coefficients are constants, and these products are gone.

use fhe_ckks::polynomials::chebyshev::Chebyshev;
use fhe_ckks::polynomials::evaluation::evaluate_plan;
use fhe_ckks::polynomials::plan::ChebyshevPlan;
use fhe_ckks::polynomials::slot_polynomials::SlotPolynomials;
use fhe_ckks::{CircuitShape, Evaluator, PlainVector};

use super::windows::SLACK;
use super::{SoftmaxArgument, SoftmaxPolynomial};
use crate::approximation::{DEGREES, FittedPolynomial, largest_degree};
use crate::crossing::Distortion;
use crate::error::{CircuitError, Result};
use crate::score_layout::{ScoreContract, ScoreLayout};

/// Error, by the measure of whoever fits it, beyond which the exponential is refused.
const LIMIT: f64 = 1.0 / 64.0;
const FUNCTION: &str = "exponential of a fraction of the scores";

/// Normalised scores in slots, as a variant gets them.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormalisedScores {
    /// Of the tightened window, which slots hold stretched by [`SLACK`].
    pub(super) half_width: f64,
    /// What the half bootstrap did to them, if nobody has corrected it.
    distortion: Distortion,
}

/// What is asked of an exponential.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exponent {
    /// Multiplies the scores, less the upper end of their window.
    pub(super) fraction: f64,
    /// Multiplies the exponential.
    pub(super) factor: f64,
    /// Asked of the error as it is measured.
    pub(super) tolerance: f64,
    /// That may be taken.
    pub(super) most_levels: usize,
}

/// `factor exp(fraction (score - centre - half_width))` at live pairs, zero elsewhere.
#[derive(Clone, Debug)]
pub(super) struct MaskedExponential {
    polynomial: SlotPolynomials,
    /// The same in as many levels, with constants for coefficients.
    everywhere: ChebyshevPlan,
    coefficients: Vec<f64>,
    error: f64,
}

impl NormalisedScores {
    /// Of a window of this half width, as they come in slots: corrected.
    pub(super) fn corrected(half_width: f64) -> Self {
        Self { half_width, distortion: Distortion::NONE }
    }

    pub(super) fn new(half_width: f64, contract: ScoreContract, shape: &CircuitShape) -> Self {
        let distortion = if contract.opening_levels == 0 { Distortion::of(shape) } else { Distortion::NONE };
        Self { half_width, distortion }
    }

    /// The exponential of a slot value.
    fn exponential(self, Exponent { fraction, factor, .. }: Exponent) -> impl Fn(f64) -> f64 {
        let stretched = self.half_width * (1.0 + SLACK);
        move |y| factor * (fraction * (stretched * self.distortion.undo(y) - self.half_width)).exp()
    }
}

impl MaskedExponential {
    /// The smallest degree that meets the tolerance within the levels, or the one that comes nearest; `measure` says what an absolute error
    /// means.
    pub(super) fn fit(scores: NormalisedScores, asked: Exponent, measure: impl Fn(f64) -> f64) -> Result<Self> {
        let function = scores.exponential(asked);
        let mut best: Option<(Chebyshev, f64)> = None;
        let remedy = "use a larger parameter set, or another variant or fewer rounds";
        let largest = largest_degree(FUNCTION, asked.most_levels, remedy)?;
        for degree in DEGREES.into_iter().filter(|degree| *degree <= largest) {
            let fit = Chebyshev::interpolate(&function, (-1.0, 1.0), degree)?;
            let error = measure(fit.fit_error(&function, 16 * degree).absolute);
            if best.as_ref().is_none_or(|(_, best)| error < *best) {
                best = Some((fit, error));
            }
            if error <= asked.tolerance {
                break;
            }
        }
        match best {
            Some((fit, error)) if error <= LIMIT => {
                let coefficients = fit.coefficients().to_vec();
                let polynomial = SlotPolynomials::new(std::slice::from_ref(&coefficients))?;
                let everywhere = ChebyshevPlan::with_levels(&coefficients, polynomial.levels())?;
                Ok(Self { polynomial, everywhere, coefficients, error })
            }
            best => Err(CircuitError::Approximation {
                function: FUNCTION,
                degree: best.as_ref().map_or(0, |(fit, _)| fit.degree()),
                window: format!("scores within {:.4} of their centres, times {}", scores.half_width, asked.fraction),
                found: best.map_or(f64::INFINITY, |(_, error)| error),
                required: LIMIT,
            }),
        }
    }

    pub(super) fn polynomial(&self) -> SoftmaxPolynomial {
        let fitted = FittedPolynomial {
            function: FUNCTION,
            degree: self.coefficients.len() - 1,
            error: self.error,
            levels: self.levels(),
            coefficients: self.coefficients.clone(),
        };
        SoftmaxPolynomial { argument: SoftmaxArgument::Score, fitted }
    }

    /// Levels that an evaluation takes.
    pub(super) fn levels(&self) -> usize {
        self.polynomial.levels()
    }

    /// The exponentials of scores in slots.
    pub(super) fn apply<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        scores: &[E::Slots],
    ) -> Result<Vec<E::Slots>> {
        let exponential = |(ciphertext, x): (usize, &E::Slots)| self.apply_masked(e, x, &layout.live_mask(ciphertext));
        scores.iter().enumerate().map(exponential).collect()
    }

    /// The exponentials of one ciphertext where a mask is 1, and zeros where it is 0.
    pub(super) fn apply_masked<E: Evaluator>(&self, e: &E, scores: &E::Slots, mask: &PlainVector) -> Result<E::Slots> {
        Ok(self.polynomial.evaluate(e, scores, &|numbers| mask.scaled(numbers[0]))?)
    }

    /// The exponentials of one ciphertext in all slots, also in idle ones, which must lie within the interval.
    pub(super) fn apply_everywhere<E: Evaluator>(&self, e: &E, scores: &E::Slots) -> Result<E::Slots> {
        e.expect_within_interval(scores);
        Ok(evaluate_plan(e, scores, &self.everywhere)?)
    }
}
