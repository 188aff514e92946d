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
//! **The auxiliary track** needs no rotation to sum over keys. The keys of a query lie in slots that a sparse SlotsToCoeffs takes for copies of one
//! value, so their average passes, and the half bootstrap returns it to all of them. In these copies the reciprocal is evaluated slimly
//! ([`crate::slim`]) where the levels allow it, and otherwise by Paterson and Stockmeyer's polynomial of one level less.
//!
//! **Windows.** The first sum's is calibrated, or follows from the denominators. The later ones need no statistics: `y_r` sums to `1 + d` with `d` the
//! error of the reciprocal before, so its squares sum to something in `(1 + d)^2 [1 / keys, 1]` by Cauchy and Schwarz. An excess at the
//! upper end grows like a Chebyshev polynomial, one at the lower end is harmless.
//!
//! Pairs that are not live take coefficients of zero in the exponential: a mask at no level, for as many products with plaintexts as the polynomial
//! has coefficients.

use fhe_ckks::polynomials::chebyshev::Chebyshev;
use fhe_ckks::polynomials::slot_polynomials::SlotPolynomials;
use fhe_ckks::{CircuitShape, Evaluator};

use super::windows::{SLACK, slack};
use super::{Crossing, SoftmaxArgument, SoftmaxPolynomial, SoftmaxWindows, by_sets, crossed};
use crate::approximation::{Accuracy, Approximation, Criterion, DEGREES, Functions, Target, largest_degree};
use crate::crossing::{Distortion, Passage};
use crate::error::{CircuitError, Result, refuse};
use crate::interval::Interval;
use crate::score_layout::ScoreLayout;
use crate::slim::{Blocks, FewValues, SlimApproximation};

/// Error of the exponential, relative to the largest probability of a row at its least, beyond which it is refused.
const EXPONENTIAL_LIMIT: f64 = 1.0 / 64.0;
/// Relative error asked of the reciprocals before the last: it cancels, and only widens the next window.
const INTERMEDIATE: f64 = 1.0 / 8.0;
/// Relative error of a reciprocal beyond which it is refused.
const RECIPROCAL_LIMIT: f64 = 1.0 / 4.0;
/// Worst error of a half bootstrap as a fraction of its range; at the lower end of a window it is as many times larger, relative to the value, as the window
/// is wide.
const BOOTSTRAP_NOISE: f64 = 1.0 / 65536.0;
/// Most rounds.
const MOST_ROUNDS: usize = 4;
const OPERATION: &str = "Softmax::new";
const RECIPROCAL: &str = "reciprocal of a sum of squares in SoftMax";

/// The division of [`SoftmaxVariant::NormalizeAndSquare`](super::SoftmaxVariant::NormalizeAndSquare).
#[derive(Clone, Debug)]
pub struct NormalizeAndSquare {
    exponential: SlotPolynomials,
    exponential_degree: usize,
    exponential_error: f64,
    rounds: Vec<Round>,
    output_levels: usize,
}

/// One round: the sum of squares and its reciprocal.
#[derive(Clone, Debug)]
pub struct Round {
    window: Interval,
    reciprocal: FewValues,
    passage: Passage,
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
        if accuracy.functions == Functions::Exact {
            let remedy = "use polynomials, or the variant exp-inverse";
            return Err(refuse(OPERATION, "functions", "exact", "polynomials", remedy));
        }
        let contract = L::CONTRACT;
        let keys = layout.most_keys() as f64;
        let whole = contract.scores_of_all_pairs;
        let (tight, first) = (windows.tightened(whole)?, windows.first_sum(rounds, keys, whole)?);

        let around = contract.opening_levels + 2 * rounds + contract.output_levels;
        let left = shape.compute_levels.saturating_sub(around);
        let distortion = Distortion::of(shape);
        let argument = if contract.opening_levels == 0 { distortion } else { Distortion::NONE };
        let (half_width, fraction) = (tight.half_width, 1.0 / f64::from(1_u32 << rounds));
        let stretched = half_width * (1.0 + SLACK);
        let exponential = move |y: f64| (fraction * (stretched * argument.undo(y) - half_width)).exp();
        // The largest of a row is at least the root of the mean of its squares; its error is raised to the power 2^k.
        let unit = fraction * (first.low / keys).sqrt();
        let window = format!("scores within {half_width:.4} of their centres, over {}", 1_u32 << rounds);
        let (exponential, exponential_degree, exponential_error) =
            fit_exponential(exponential, unit, accuracy.tolerance, left, &window)?;

        let copies = layout.key_copies();
        shape.check_copies(OPERATION, copies)?;
        let half = shape.degree / 2;
        let blocks = Blocks::new(half, half / copies.0, layout.blocks_in_use())?;
        let mut window = first;
        let mut all = Vec::with_capacity(rounds);
        for round in 1..=rounds {
            // Where the squares wait.
            let waiting = contract.output_levels + 2 * (rounds - round) + 1;
            let tolerance = if round == rounds { accuracy.tolerance } else { INTERMEDIATE };
            let target = Target { criterion: Criterion::Relative, tolerance, limit: RECIPROCAL_LIMIT };
            let reciprocal = fit_reciprocal(window, target, blocks, shape, waiting)?;
            let passage = Passage {
                copies,
                range: window.half_width() / copies.0 as f64,
                levels: waiting + reciprocal.joined_levels(),
            };
            let error = reciprocal.error() + BOOTSTRAP_NOISE * window.half_width() / window.low;
            all.push(Round { window, reciprocal, passage });
            let (low, high) = ((1.0 - error).max(0.25), 1.0 + error);
            window = slack(Interval::new(low * low / keys, high * high));
        }
        let division = Self {
            exponential,
            exponential_degree,
            exponential_error,
            rounds: all,
            output_levels: contract.output_levels,
        };
        Ok((tight, division))
    }

    pub(super) fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        let exponential = SoftmaxPolynomial {
            argument: SoftmaxArgument::Score,
            degree: self.exponential_degree,
            error: self.exponential_error,
        };
        let reciprocals = self.rounds.iter().enumerate().map(|(round, Round { reciprocal, .. })| SoftmaxPolynomial {
            argument: SoftmaxArgument::SumOfSquares { round },
            degree: reciprocal.degree(),
            error: reciprocal.error(),
        });
        [exponential].into_iter().chain(reciprocals).collect()
    }

    /// The rounds in order.
    pub fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// Levels from the scores in slots to the end of what follows SoftMax.
    pub(super) fn score_levels(&self) -> usize {
        self.exponential.levels() + 2 * self.rounds.len() + self.output_levels
    }

    /// The most levels that a half bootstrap of sums must leave.
    pub(super) fn crossing_levels(&self) -> usize {
        self.rounds.iter().map(|round| round.passage.levels).max().unwrap_or(0)
    }

    /// Probabilities of scores in slots.
    pub(super) fn apply<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        scores: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let exponential = |(ciphertext, x): (usize, &E::Slots)| {
            let mask = layout.live_plain(ciphertext, |_| 1.0);
            Ok(self.exponential.evaluate(e, x, &|numbers| mask.iter().map(|live| live * numbers[0]).collect())?)
        };
        let mut values: Vec<E::Slots> = scores.iter().enumerate().map(exponential).collect::<Result<_>>()?;
        let arrivals: Vec<Vec<f64>> = (0..layout.set_lengths().len()).map(|set| layout.arrivals(set)).collect();
        for round in &self.rounds {
            let squares = values.iter().map(|x| Ok(e.square(x)?)).collect::<Result<Vec<_>>>()?;
            let sets = by_sets(layout, &squares);
            let sum = |(set, arrivals): (&&[E::Slots], &Vec<f64>)| round.centred(e, set, arrivals);
            let sums = sets.iter().zip(&arrivals).map(sum).collect::<Result<Vec<_>>>()?;
            let returned = crossed(crossing, sums, round.passage)?;
            values.clear();
            for (set, sum) in sets.into_iter().zip(&returned) {
                let factor = round.reciprocal.apply_joined(e, sum)?;
                for square in set {
                    values.push(e.multiply(square, &factor)?);
                }
            }
        }
        Ok(values)
    }
}

impl Round {
    /// The window of the sum of squares.
    pub fn window(&self) -> Interval {
        self.window
    }

    /// Whether the reciprocal is evaluated slimly.
    pub fn is_slim(&self) -> bool {
        matches!(self.reciprocal, FewValues::Slim(_))
    }

    /// How the sum crosses.
    pub fn passage(&self) -> Passage {
        self.passage
    }

    /// The sum over the ciphertexts of a set, less its part of the window's centre where sums arrive.
    fn centred<E: Evaluator>(&self, e: &E, squares: &[E::Slots], arrivals: &[f64]) -> Result<E::Slots> {
        let Some((first, others)) = squares.split_first() else {
            let remedy = "let every query attend to itself";
            return Err(refuse("Softmax::apply", "ciphertexts of a set", "none", "at least one", remedy));
        };
        let mut sum = first.clone();
        for other in others {
            sum = e.add(&sum, other)?;
        }
        let centre = self.window.centre() / self.passage.copies.0 as f64;
        Ok(e.add_plain(&sum, &arrivals.iter().map(|arrives| -centre * arrives).collect::<Vec<_>>())?)
    }
}

/// The slim one if it meets the tolerance within the levels above those where the squares wait; the more accurate one otherwise.
fn fit_reciprocal(
    window: Interval,
    target: Target,
    blocks: Blocks,
    shape: &CircuitShape,
    waiting: usize,
) -> Result<FewValues> {
    let distortion = Distortion::of(shape);
    let (centre, half_width) = (window.centre(), window.half_width());
    let reciprocal = move |y: f64| 1.0 / (centre + half_width * distortion.undo(y));
    let most = shape.compute_levels.saturating_sub(waiting);
    let name = window.to_string();
    let slim = [most, most.saturating_sub(1)].into_iter().find_map(|levels| {
        // The higher degree may leave no level to join its sides.
        let fit = SlimApproximation::fit(RECIPROCAL, &name, target, blocks, levels, reciprocal).ok()?;
        (fit.joined_levels() <= most).then_some(fit)
    });
    if let Some(slim) = slim.as_ref().filter(|slim| slim.error() <= target.tolerance) {
        return Ok(FewValues::Slim(Box::new(slim.clone())));
    }
    match (slim, Approximation::fit_within(RECIPROCAL, &name, target, most, reciprocal)) {
        (Some(slim), Ok(usual)) if slim.error() <= usual.error() => Ok(FewValues::Slim(Box::new(slim))),
        (_, Ok(usual)) => Ok(FewValues::PatersonStockmeyer(usual)),
        (Some(slim), Err(_)) => Ok(FewValues::Slim(Box::new(slim))),
        (None, Err(refusal)) => Err(refusal),
    }
}

/// The smallest degree that meets the tolerance within so many levels, or the one that comes nearest.
fn fit_exponential(
    function: impl Fn(f64) -> f64,
    unit: f64,
    tolerance: f64,
    most_levels: usize,
    window: &str,
) -> Result<(SlotPolynomials, usize, f64)> {
    const FUNCTION: &str = "exponential of a fraction of the scores";
    let mut best: Option<(Chebyshev, f64)> = None;
    let largest = largest_degree(FUNCTION, most_levels, "use a larger parameter set or fewer rounds")?;
    for degree in DEGREES.into_iter().filter(|degree| *degree <= largest) {
        let fit = Chebyshev::interpolate(&function, (-1.0, 1.0), degree)?;
        let error = fit.fit_error(&function, 16 * degree).absolute / unit;
        if best.as_ref().is_none_or(|(_, best)| error < *best) {
            best = Some((fit, error));
        }
        if error <= tolerance {
            break;
        }
    }
    match best {
        Some((fit, error)) if error <= EXPONENTIAL_LIMIT => {
            Ok((SlotPolynomials::new(&[fit.coefficients().to_vec()])?, fit.degree(), error))
        }
        best => Err(CircuitError::Approximation {
            function: FUNCTION,
            degree: best.as_ref().map_or(0, |(fit, _)| fit.degree()),
            window: window.to_owned(),
            found: best.map_or(f64::INFINITY, |(_, error)| error),
            required: EXPONENTIAL_LIMIT,
        }),
    }
}
