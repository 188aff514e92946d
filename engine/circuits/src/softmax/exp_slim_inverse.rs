//! One exponential, one reciprocal in the copies in which the keys lie, one product.
//!
//! Exponentials are masked by their own coefficients, their sum over keys crosses without a rotation ([`SumReciprocal`]), and its reciprocal, evaluated
//! slimly where that meets the tolerance and by Paterson and Stockmeyer otherwise, multiplies them. The main track takes the exponential and one level
//! more, so that the reciprocal may take all other levels there are: degree 255 over lanes, or 128 slimly. Slim evaluation, and the
//! auxiliary track on a half bootstrap of its own, are those of arXiv 2601.18511 (sections 2.3 and 3.4); there they follow rounds that keep the range small.
//!
//! **Error.** Nothing follows that would correct one: the reciprocal's relative error is that of every probability of a row, and so is the noise of the
//! sum's half bootstrap, up to `2^-16` times half the ratio of the window. The exponential's error is stated relative to the smallest denominator.
//! What [`ExpInverse`](super::ExpInverse) removes by renormalising, for a level each, stays.
//!
//! **Depth** from scores in slots: `log2(degree + 1)` of the exponential, and 1. One half bootstrap for each set of ciphertexts.

use fhe_ckks::{CircuitShape, Evaluator};

use super::exponential::{Exponent, MaskedExponential, NormalisedScores};
use super::key_sums::{KeyCopies, arrivals};
use super::{Crossing, SoftmaxArgument, SoftmaxPolynomial, SoftmaxWindows, SumReciprocal, check_polynomials};
use crate::approximation::{Accuracy, Criterion, Target};
use crate::error::Result;
use crate::interval::Interval;
use crate::score_layout::ScoreLayout;

/// Relative error of the reciprocal, and so of probabilities, beyond which it is refused.
const RECIPROCAL_LIMIT: f64 = 1.0 / 64.0;
const RECIPROCAL: &str = "reciprocal of a sum of exponentials in SoftMax";

/// The division of [`SoftmaxVariant::ExpSlimInverse`](super::SoftmaxVariant::ExpSlimInverse).
#[derive(Clone, Debug)]
pub struct ExpSlimInverse {
    exponential: MaskedExponential,
    reciprocal: SumReciprocal,
    output_levels: usize,
}

impl ExpSlimInverse {
    /// Fits the polynomials to the windows, which it returns tightened.
    pub(super) fn new<L: ScoreLayout>(
        windows: &SoftmaxWindows,
        shape: &CircuitShape,
        accuracy: Accuracy,
        layout: &L,
    ) -> Result<(SoftmaxWindows, Self)> {
        check_polynomials(accuracy)?;
        let contract = L::CONTRACT;
        let tight = windows.tightened(contract.scores_of_all_pairs)?;
        // The exponentials are scaled so that the window of their sum has length 2: small ones are not lost in rounding.
        let factor = 1.0 / tight.denominator.half_width();
        let window = Interval::new(factor * tight.denominator.low, factor * tight.denominator.high);

        let waiting = contract.output_levels + 1;
        let most_levels = shape.compute_levels.saturating_sub(contract.opening_levels + waiting);
        let asked = Exponent { fraction: 1.0, factor, tolerance: accuracy.tolerance, most_levels };
        let scores = NormalisedScores::new(tight.half_width, contract, shape);
        let exponential = MaskedExponential::fit(scores, asked, |error| error / window.low)?;

        let target = Target { criterion: Criterion::Relative, tolerance: accuracy.tolerance, limit: RECIPROCAL_LIMIT };
        let keys = KeyCopies::of(layout, shape)?;
        let reciprocal = SumReciprocal::fit(RECIPROCAL, window, target, keys, shape, waiting)?;
        Ok((tight, Self { exponential, reciprocal, output_levels: contract.output_levels }))
    }

    pub(super) fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        let argument = SoftmaxArgument::Denominator;
        vec![self.exponential.polynomial(), SoftmaxPolynomial { argument, fitted: self.reciprocal.fitted() }]
    }

    /// The sum of the exponentials, scaled to a window of length 2, and its reciprocal.
    pub fn reciprocal(&self) -> &SumReciprocal {
        &self.reciprocal
    }

    /// Levels from the scores in slots to the end of what follows SoftMax.
    pub(super) fn score_levels(&self) -> usize {
        self.exponential.levels() + 1 + self.output_levels
    }

    /// Probabilities of scores in slots.
    pub(super) fn apply<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        scores: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let exponentials = self.exponential.apply(e, layout, scores)?;
        self.reciprocal.divide(e, (layout, &arrivals(layout)), &exponentials, crossing)
    }
}
