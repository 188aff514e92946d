//! One exponential and one reciprocal.
//!
//! The exponentials are multiplied by a polynomial reciprocal of the denominators, then
//! renormalised: probabilities that sum to `s` are multiplied by `2 - s`, one Newton step of the division. Every round
//! squares what the reciprocal got wrong, the error of the denominators' own half bootstrap included, for one level. The sums need no
//! rotations: a factor is common to all keys, so `s` is the denominator times the factors so far, on one ciphertext per set.
//!
//! The denominators of scores over lanes are masked before they descend, as those in slots are. A sparse half bootstrap in as many copies
//! as there are fields of keys would sum and spread them for free; it is not used here.
//!
//! With [`Functions::Exact`] the denominators cross as logarithms: they may span more than the precision of a half bootstrap.

use std::ops::RangeInclusive;

use fhe_ckks::{CircuitShape, Evaluator};

use super::windows::SLACK;
use super::{Crossing, SoftmaxArgument, SoftmaxPolynomial, SoftmaxWindows, by_sets, crossed};
use crate::approximation::{Accuracy, Approximation, Criterion, Functions, Target};
use crate::crossing::{Distortion, Passage};
use crate::error::{CircuitError, Result, refuse};
use crate::interval::Interval;
use crate::score_layout::{ScoreContract, ScoreLayout};

/// Error, relative to the smallest denominator, beyond which the exponential is refused.
const EXPONENTIAL_LIMIT: f64 = 1.0 / 64.0;
/// Relative error of the reciprocal beyond which it is refused: rounds would not converge fast enough.
const INVERSE_LIMIT: f64 = 1.0 / 4.0;
/// Rounds of renormalisation: at least one, since it also removes the noise of the denominators' bootstrap.
const ROUNDS: RangeInclusive<usize> = 1..=3;

/// What [-1, 1] stands for when denominators cross.
#[derive(Clone, Copy, Debug)]
enum DenominatorWindow {
    /// The denominator less this.
    Linear { centre: f64 },
    /// Its logarithm less the centre, over the half width.
    Logarithmic { centre: f64, half_width: f64 },
}

/// The division of [`SoftmaxVariant::ExpInverse`](super::SoftmaxVariant::ExpInverse).
#[derive(Clone, Debug)]
pub struct ExpInverse {
    contract: ScoreContract,
    exponential: Approximation,
    inverse: Approximation,
    rounds: usize,
    /// Makes the window of the denominators two long.
    denominator_scale: f64,
    /// Of the scaled denominators.
    denominator_window: DenominatorWindow,
}

impl ExpInverse {
    /// Fits the polynomials to the windows, which it returns tightened. As many rounds of renormalisation are
    /// considered as the levels of `shape` allow.
    pub(super) fn new(
        windows: &SoftmaxWindows,
        shape: &CircuitShape,
        accuracy: Accuracy,
        contract: ScoreContract,
    ) -> Result<(SoftmaxWindows, Self)> {
        let distortion = Distortion::of(shape);
        let exact = accuracy.functions == Functions::Exact;
        let windows = windows.tightened(exact || contract.scores_of_all_pairs)?;
        let SoftmaxWindows { half_width, denominator, .. } = windows;
        let stretched = half_width * (1.0 + SLACK);
        // Scaled so that the window of the denominators has length 2: one shift then normalises them.
        let scale = 1.0 / denominator.half_width();

        // Mask, product with the reciprocal, and what surrounds SoftMax; at least one round.
        let around = contract.opening_levels + 2 + contract.sum_levels + contract.output_levels;
        let left = |levels: usize| shape.compute_levels.saturating_sub(around + levels);
        let criterion = Criterion::Absolute(scale * denominator.low);
        let target = Target { criterion, tolerance: accuracy.tolerance, limit: EXPONENTIAL_LIMIT };
        let window = format!("scores within {half_width:.4} of their centres");
        let argument = if contract.opening_levels == 0 { distortion } else { Distortion::NONE };
        let exponential = accuracy.approximate("exponential", &window, target, left(*ROUNDS.start()), move |y| {
            scale * (stretched * argument.undo(y) - half_width).exp()
        })?;

        let rounds = *ROUNDS.start()..=left(exponential.levels()).clamp(*ROUNDS.start(), *ROUNDS.end());
        let centre = scale * denominator.centre();
        let reciprocal = move |y: f64| 1.0 / (distortion.undo(y) + centre);
        let most = |rounds: usize| shape.compute_levels.saturating_sub(around - contract.opening_levels - 1 + rounds);
        let fitted = fit_inverse(&denominator.to_string(), accuracy.tolerance, rounds.clone(), most, reciprocal);
        let (inverse, rounds, denominator_window) = if exact {
            let (centre, half_width) = logarithms(denominator, scale);
            let (inverse, rounds) = fitted.or_else(|_| {
                let (target, most) = (inverse_target(accuracy.tolerance), most(*rounds.start()));
                Ok::<_, CircuitError>((Approximation::exact(INVERSE, target, most, reciprocal)?, *rounds.start()))
            })?;
            let inverse = inverse.of(move |y| (-centre - half_width * distortion.undo(y)).exp());
            (inverse, rounds, DenominatorWindow::Logarithmic { centre, half_width })
        } else {
            let (inverse, rounds) = fitted?;
            (inverse, rounds, DenominatorWindow::Linear { centre })
        };
        let division = Self { contract, exponential, inverse, rounds, denominator_scale: scale, denominator_window };
        Ok((windows, division))
    }

    pub(super) fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        vec![
            SoftmaxPolynomial { argument: SoftmaxArgument::Score, fitted: self.exponential.fitted() },
            SoftmaxPolynomial { argument: SoftmaxArgument::Denominator, fitted: self.inverse.fitted() },
        ]
    }

    /// The polynomial of the exponential.
    pub fn exponential(&self) -> &Approximation {
        &self.exponential
    }

    /// The polynomial of the reciprocal.
    pub fn inverse(&self) -> &Approximation {
        &self.inverse
    }

    /// Rounds of renormalisation.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// Levels from the scores in slots to the end of what follows SoftMax.
    pub(super) fn score_levels(&self) -> usize {
        self.exponential.levels() + 1 + self.exponential_levels()
    }

    /// Levels that the half bootstrap of the denominators must leave.
    pub fn denominator_levels(&self) -> usize {
        self.inverse.levels() + self.exponential_levels()
    }

    /// Levels of the masked exponentials: their sum, product with the reciprocal, renormalisation, and what follows.
    fn exponential_levels(&self) -> usize {
        self.contract.sum_levels + 1 + self.rounds + self.contract.output_levels
    }

    /// Logarithm of the sum of `exp(score - centre - half_width)` for a normalised denominator.
    pub(super) fn log_denominator(&self, normalised: f64) -> f64 {
        let log = match self.denominator_window {
            DenominatorWindow::Linear { centre } => (normalised + centre).ln(),
            DenominatorWindow::Logarithmic { centre, half_width } => centre + half_width * normalised,
        };
        log - self.denominator_scale.ln()
    }

    /// Probabilities of scores in slots.
    pub(super) fn apply<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        scores: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let masked = |(ciphertext, x): (usize, &E::Slots)| {
            let mask = layout.live_mask(ciphertext);
            Ok(e.plain_combination(&[(&self.exponential.apply(e, x)?, &mask)])?)
        };
        let exponentials: Vec<E::Slots> = scores.iter().enumerate().map(masked).collect::<Result<_>>()?;
        let groups = by_sets(layout, &exponentials);

        let sums = groups.iter().map(|group| layout.sum_over_keys(e, group)).collect::<Result<Vec<_>>>()?;
        let centred = |(set, sum): (usize, &E::Slots)| self.centred(e, sum, |value| layout.sum_plain(set, value));
        let denominators: Vec<E::Slots> = sums.iter().enumerate().map(centred).collect::<Result<_>>()?;
        let normalised = crossed(crossing, denominators, Passage::dense(self.denominator_levels()))?;

        let mut probabilities = Vec::with_capacity(scores.len());
        for ((group, sum), denominator) in groups.into_iter().zip(&sums).zip(&normalised) {
            let times = |group: &[E::Slots], factor: &E::Slots| {
                group.iter().map(|x| Ok(e.multiply(x, factor)?)).collect::<Result<Vec<_>>>()
            };
            let mut factor = self.inverse.apply(e, denominator)?;
            let (mut group, mut sum) = (times(group, &factor)?, e.multiply(sum, &factor)?);
            for round in 1..=self.rounds {
                factor = e.add_constant(&e.multiply_integer(&sum, -1)?, 2.0)?;
                group = times(&group, &factor)?;
                if round < self.rounds {
                    sum = e.multiply(&sum, &factor)?;
                }
            }
            probabilities.extend(group);
        }
        Ok(probabilities)
    }

    /// Sums of one set, normalised for their crossing. Where no sum arrives stands the middle of the window. The mask takes no level that the
    /// exponentials need.
    fn centred<E: Evaluator>(&self, e: &E, sum: &E::Slots, plain: impl Fn(f64) -> Vec<f64>) -> Result<E::Slots> {
        match self.denominator_window {
            DenominatorWindow::Linear { centre } => {
                let masked = e.plain_combination(&[(sum, &plain(1.0))])?;
                Ok(e.add_plain(&masked, &plain(-centre))?)
            }
            DenominatorWindow::Logarithmic { centre, half_width } => {
                let normalised = |sum: f64| if sum > 0.0 { (sum.ln() - centre) / half_width } else { 0.0 };
                Ok(e.plain_combination(&[(&e.map_exactly(sum, &normalised)?, &plain(1.0))])?)
            }
        }
    }
}

/// Centre of the logarithms of scaled denominators, and a half width twice theirs: no polynomial has to follow them, and a bit of precision
/// makes room for rows that calibration did not see.
fn logarithms(denominator: Interval, scale: f64) -> (f64, f64) {
    let window = Interval::new((scale * denominator.low).ln(), (scale * denominator.high).ln());
    (window.centre(), 2.0 * window.half_width())
}

const INVERSE: &str = "inverse of a SoftMax denominator";

fn inverse_target(tolerance: f64) -> Target {
    Target { criterion: Criterion::Relative, tolerance, limit: INVERSE_LIMIT }
}

/// The reciprocal and the number of rounds that together reach the tolerance at the fewest levels (the lower degree
/// among equals), or come nearest to it.
fn fit_inverse(
    window: &str,
    tolerance: f64,
    rounds: RangeInclusive<usize>,
    levels: impl Fn(usize) -> usize,
    reciprocal: impl Fn(f64) -> f64 + Copy + Send + Sync + 'static,
) -> Result<(Approximation, usize)> {
    // More rounds leave fewer levels, so that some numbers of rounds may have no fit where others do.
    let (mut candidates, mut refusal) = (Vec::new(), None);
    for rounds in rounds {
        let squarings = 1 << rounds;
        let target = inverse_target(tolerance.powf(1.0 / f64::from(squarings)));
        match Approximation::fit_within(INVERSE, window, target, levels(rounds), reciprocal) {
            Ok(fit) => candidates.push((fit.error().powi(squarings), fit, rounds)),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    let cost = |fit: &Approximation, rounds: usize| (fit.levels() + rounds, fit.degree());
    candidates.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let enough = candidates.iter().filter(|(error, ..)| *error <= tolerance);
    let best = enough.min_by_key(|(_, fit, rounds)| cost(fit, *rounds)).or(candidates.first());
    let best = best.map(|(_, fit, rounds)| (fit.clone(), *rounds));
    best.ok_or_else(|| {
        let none = || refuse("Softmax::new", "rounds of renormalisation", "none", "at least one", "report this");
        refusal.unwrap_or_else(none)
    })
}
