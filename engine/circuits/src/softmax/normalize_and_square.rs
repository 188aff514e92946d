//! Exponentials of a fraction of the scores, then rounds that normalise and square them.
//!
//! With `k` rounds, `y_0 = exp((score - centre - half_width) / 2^k)` and `y_r = (y_(r-1) / |y_(r-1)|)^2` by the Euclidean norm over the keys of a query:
//! `y_k` is the SoftMax and sums to 1 without a last division (Cho, Hanrot, Kim, Kim, Lee, Oh, Park and Stehlé: *Fast and accurate homomorphic
//! SoftMax evaluation*, CCS 2024). No polynomial ever spans the whole range of the scores, and an error that is common to
//! the keys of a query in any round but the last cancels.
//!
//! **One reciprocal a round.** `(y / |y|)^2` is `y^2 / sum y^2`. The squares whose sum is the square of the norm are those that the
//! main track needs next, so the auxiliary track approximates the reciprocal of the sum, not of its root: a round takes two products for each
//! ciphertext of scores, where a norm, a product with its inverse and a square take three, and the auxiliary track has one level more to return to.
//! Sums lie in the same windows, of the same ratios; `1/x` takes about one degree in ten more than `1/sqrt(x)`.
//!
//! **The auxiliary track** is a [`SumReciprocal`]: sums cross in the copies in which the keys lie, without a rotation. In these copies the reciprocal is
//! evaluated slimly ([`crate::slim`]) where the levels allow it, and otherwise by Paterson and Stockmeyer's polynomial of one level less.
//!
//! **Windows.** The first sum's is calibrated, or follows from the denominators. The later ones need no statistics: `y_r` sums to `1 + d` with `d` the
//! error of the reciprocal before, so its squares sum to something in `(1 + d)^2 [1 / keys, 1]` by Cauchy and Schwarz. An excess at the
//! upper end grows like a Chebyshev polynomial, one at the lower end is harmless.

use fhe_ckks::{CircuitShape, Evaluator, PlainVector};

use super::exponential::{Exponent, MaskedExponential, NormalisedScores};
use super::key_sums::{KeyCopies, arrivals};
use super::windows::slack;
use super::{
    Crossing, OPERATION, SoftmaxArgument, SoftmaxPolynomial, SoftmaxWindows, SumReciprocal, check_polynomials,
};
use crate::approximation::{Accuracy, Criterion, Target};
use crate::error::{Result, refuse};
use crate::interval::Interval;
use crate::score_layout::{ScoreLayout, Selection};

/// Relative error asked of the reciprocals before the last: it cancels, and only widens the next window.
const INTERMEDIATE: f64 = 1.0 / 8.0;
/// Relative error of a reciprocal beyond which it is refused.
const RECIPROCAL_LIMIT: f64 = 1.0 / 4.0;
/// Most rounds.
pub(super) const MOST_ROUNDS: usize = 4;
const RECIPROCAL: &str = "reciprocal of a sum of squares in SoftMax";

/// What is asked of the reciprocal of a round: all but the last cancel.
pub(super) fn round_target(is_last: bool, accuracy: Accuracy) -> Target {
    let tolerance = if is_last { accuracy.tolerance } else { INTERMEDIATE };
    Target { criterion: Criterion::Relative, tolerance, limit: RECIPROCAL_LIMIT }
}

/// The window of the sum of squares after the division by another.
pub(super) fn later_window(before: &SumReciprocal, most_keys: f64) -> Interval {
    let error = before.largest_error();
    let (low, high) = ((1.0 - error).max(0.25), 1.0 + error);
    slack(Interval::new(low * low / most_keys, high * high))
}

/// The division of [`SoftmaxVariant::NormalizeAndSquare`](super::SoftmaxVariant::NormalizeAndSquare).
#[derive(Clone, Debug)]
pub struct NormalizeAndSquare {
    exponential: MaskedExponential,
    /// The sum of squares of every round.
    rounds: Vec<SumReciprocal>,
    output_levels: usize,
}

impl NormalizeAndSquare {
    /// Fits the polynomials to the windows, which it returns tightened.
    pub(super) fn new<L: ScoreLayout>(
        rounds: usize,
        windows: &SoftmaxWindows,
        shape: &CircuitShape,
        accuracy: Accuracy,
        layout: &L,
    ) -> Result<(SoftmaxWindows, Self)> {
        if !(1..=MOST_ROUNDS).contains(&rounds) {
            let required = format!("1 to {MOST_ROUNDS}");
            return Err(refuse(OPERATION, "rounds", rounds, required, "use three rounds, or two"));
        }
        check_polynomials(accuracy)?;
        let contract = L::CONTRACT;
        let most_keys = layout.most_keys() as f64;
        let whole = contract.scores_of_all_pairs;
        let (tight, first) = (windows.tightened(whole)?, windows.first_sum(rounds, most_keys, whole)?);

        let around = contract.opening_levels + 2 * rounds + contract.output_levels;
        let most_levels = shape.compute_levels.saturating_sub(around);
        let fraction = 1.0 / f64::from(1_u32 << rounds);
        let asked = Exponent { fraction, factor: 1.0, tolerance: accuracy.tolerance, most_levels };
        // The largest of a row is at least the root of the mean of its squares; its error is raised to the power 2^k.
        let unit = fraction * (first.low / most_keys).sqrt();
        let scores = NormalisedScores::new(tight.half_width, contract, shape);
        let exponential = MaskedExponential::fit(scores, asked, |error| error / unit)?;

        let keys = KeyCopies::of(layout, shape)?;
        let mut window = first;
        let mut all = Vec::with_capacity(rounds);
        for round in 1..=rounds {
            // Where the squares wait.
            let last = if round == rounds { contract.selection_levels } else { 0 };
            let waiting = contract.output_levels + 2 * (rounds - round) + 1 + last;
            let target = round_target(round == rounds, accuracy);
            let reciprocal = SumReciprocal::fit(RECIPROCAL, window, target, keys, shape, waiting)?;
            window = later_window(&reciprocal, most_keys);
            all.push(reciprocal);
        }
        Ok((tight, Self { exponential, rounds: all, output_levels: contract.output_levels }))
    }

    pub(super) fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        let reciprocals = self.rounds.iter().enumerate().map(|(round, reciprocal)| SoftmaxPolynomial {
            argument: SoftmaxArgument::SumOfSquares { round },
            fitted: reciprocal.fitted(),
        });
        [self.exponential.polynomial()].into_iter().chain(reciprocals).collect()
    }

    /// The sums of squares of the rounds in order, and their reciprocals.
    pub fn rounds(&self) -> &[SumReciprocal] {
        &self.rounds
    }

    /// Levels from the scores in slots to the end of what follows SoftMax.
    pub(super) fn score_levels(&self) -> usize {
        self.exponential.levels() + 2 * self.rounds.len() + self.output_levels
    }

    /// The most levels that a half bootstrap of sums must leave.
    pub(super) fn crossing_levels(&self) -> usize {
        self.rounds.iter().map(|round| round.passage().levels).max().unwrap_or(0)
    }

    /// Probabilities of scores in slots.
    pub(super) fn apply<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        scores: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let arrivals = arrivals(layout);
        let (squares, last) = self.before_the_last(e, (layout, &arrivals), scores, crossing)?;
        last.divide(e, (layout, &arrivals), &squares, crossing)
    }

    /// Selections of the probabilities of one set.
    pub(super) fn apply_selected<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        (scores, selections): (&[E::Slots], &[Selection]),
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let arrivals = arrivals(layout);
        let (squares, last) = self.before_the_last(e, (layout, &arrivals), scores, crossing)?;
        last.divide_selected(e, (layout, &arrivals), (&squares, selections), crossing)
    }

    /// The squares that the last round divides, and that round.
    fn before_the_last<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        place: (&L, &[PlainVector]),
        scores: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<(Vec<E::Slots>, &SumReciprocal)> {
        let Some((last, others)) = self.rounds.split_last() else {
            return Err(refuse(OPERATION, "rounds", 0, "at least one", "report this"));
        };
        let squared = |roots: Vec<E::Slots>| roots.iter().map(|x| Ok(e.square(x)?)).collect::<Result<Vec<_>>>();
        let mut squares = squared(self.exponential.apply(e, place.0, scores)?)?;
        for round in others {
            squares = squared(round.divide(e, place, &squares, crossing)?)?;
        }
        Ok((squares, last))
    }
}
