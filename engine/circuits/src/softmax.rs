//! SoftMax over encrypted scores.
//!
//! Scores arrive as [`SlotAttention`] lays them out, normalised to `(score - centre) / half_width` with a centre per
//! head and one half width, so that every one of them lies in [-1, 1]. Variants differ in how they divide.
//!
//! [`SoftmaxVariant::ExpInverse`] multiplies the exponentials by a polynomial reciprocal of the denominators, then
//! renormalises: probabilities that sum to `s` are multiplied by `2 - s`, one Newton step of the division. Every round
//! squares what the reciprocal got wrong, the error of the denominators' own half bootstrap included, for one level.

use fhe_ckks::{CircuitShape, Evaluator};

use crate::approximation::{Approximation, Criterion, Target};
use crate::attention::{ScoreMap, SlotAttention};
use crate::crossing::Distortion;
use crate::error::{Result, refuse};
use crate::interval::Interval;

/// Error, relative to the smallest denominator, beyond which the exponential is refused.
const EXPONENTIAL_LIMIT: f64 = 1.0 / 64.0;
/// Relative error of the reciprocal beyond which it is refused: rounds would not converge fast enough.
const INVERSE_LIMIT: f64 = 1.0 / 4.0;
/// Rounds of renormalisation: at least one, since it also removes the noise of the denominators' bootstrap.
const ROUNDS: std::ops::RangeInclusive<usize> = 1..=3;
/// Windows are stretched by this fraction, so that noise does not push a message at their very end out of the range of
/// a bootstrap.
const SLACK: f64 = 1.0 / 1024.0;

/// The ways to compute SoftMax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SoftmaxVariant {
    /// One exponential, one reciprocal of the denominators after a half bootstrap of their own.
    #[default]
    ExpInverse,
}

/// Calibrated windows of one layer's scores.
#[derive(Clone, Debug)]
pub struct SoftmaxWindows {
    /// Per query head, the centre of its scores.
    pub centres: Vec<f64>,
    /// Half width of the scores, common to all heads.
    pub half_width: f64,
    /// The sum over live keys of `exp(score - centre - half_width)`, over all heads.
    pub denominator: Interval,
}

impl SoftmaxWindows {
    /// The same windows without the part of the scores that the denominators rule out. No exponential exceeds its
    /// denominator, so no score exceeds `centre + half_width + ln(denominator.high)`. Scores far below their row's
    /// maximum widen a symmetric window upwards as well, and the exponential would spend its precision on values that
    /// never occur.
    fn tightened(&self) -> Result<Self> {
        const OPERATION: &str = "Softmax::new";
        let Self { centres, half_width, denominator } = self;
        if !(half_width.is_finite() && *half_width > 0.0 && centres.iter().all(|centre| centre.is_finite())) {
            let found = format!("half width {half_width} around {centres:?}");
            return Err(refuse(OPERATION, "scores", found, "a positive half width", "calibrate the model"));
        }
        let wide = denominator.widened_to_relative(SLACK);
        let wide = Interval::new(wide.low * (1.0 - SLACK), wide.high * (1.0 + SLACK));
        if !(wide.low > 0.0 && wide.high.is_finite()) {
            return Err(refuse(OPERATION, "denominator", denominator, "a positive window", "calibrate the model"));
        }
        let (low, high) = (-half_width, half_width + wide.high.ln().min(0.0));
        if high <= low {
            let required = format!("above exp(-2 * {half_width})");
            return Err(refuse(OPERATION, "denominator", denominator, required, "calibrate the model"));
        }
        let (shift, rescaled) = (f64::midpoint(low, high), (half_width - high).exp());
        Ok(Self {
            centres: centres.iter().map(|centre| centre + shift).collect(),
            half_width: (high - low) / 2.0,
            denominator: Interval::new(wide.low * rescaled, wide.high * rescaled),
        })
    }
}

/// SoftMax by [`SoftmaxVariant::ExpInverse`], ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Softmax {
    map: ScoreMap,
    centres: Vec<f64>,
    half_width: f64,
    exponential: Approximation,
    inverse: Approximation,
    rounds: usize,
    /// Makes the window of the denominators two long.
    denominator_scale: f64,
    /// Centre of the scaled window.
    denominator_centre: f64,
}

/// Sends slot ciphertexts in [-1, 1] through coefficients and a half bootstrap to so many levels; distorted.
pub type Crossing<'a, S> = dyn FnMut(Vec<S>, usize) -> Result<Vec<S>> + 'a;

impl Softmax {
    /// Fits the polynomials; `head_dim` gives the usual scale of the scores, `1 / sqrt(head_dim)`.
    ///
    /// # Errors
    /// If a window is empty or a polynomial does not follow its function.
    pub fn new(
        variant: SoftmaxVariant,
        windows: &SoftmaxWindows,
        head_dim: usize,
        shape: &CircuitShape,
        tolerance: f64,
    ) -> Result<Self> {
        let SoftmaxVariant::ExpInverse = variant;
        let distortion = Distortion::of(shape);
        let SoftmaxWindows { centres, half_width, denominator } = windows.tightened()?;
        let stretched = half_width * (1.0 + SLACK);
        // Scaled so that the window of the denominators has length 2: one shift then normalises them.
        let scale = 1.0 / denominator.half_width();
        let criterion = Criterion::Absolute(scale * denominator.low);
        let target = Target { criterion, tolerance, limit: EXPONENTIAL_LIMIT };
        let window = format!("scores within {half_width:.4} of their centres");
        let exponential = Approximation::fit("exponential", &window, target, |y| {
            scale * (stretched * distortion.undo(y) - half_width).exp()
        })?;
        let denominator_centre = scale * denominator.centre();
        let reciprocal = |y: f64| 1.0 / (distortion.undo(y) + denominator_centre);
        let (inverse, rounds) = fit_inverse(&denominator.to_string(), tolerance, reciprocal)?;
        let map = ScoreMap {
            scale: 1.0 / ((head_dim as f64).sqrt() * stretched),
            centres: centres.iter().map(|centre| centre / stretched).collect(),
        };
        Ok(Self {
            map,
            centres,
            half_width,
            exponential,
            inverse,
            rounds,
            denominator_scale: scale,
            denominator_centre,
        })
    }

    /// How products of queries and keys (of true values) become normalised scores.
    pub fn score_map(&self) -> &ScoreMap {
        &self.map
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

    /// Levels consumed on the scores: exponential, mask, product with the reciprocal, renormalisation.
    pub fn score_levels(&self) -> usize {
        self.exponential.levels() + 2 + self.rounds
    }

    /// Levels that the half bootstrap of the denominators must leave when the probabilities are to end at
    /// `output_levels`.
    pub fn denominator_levels(&self, output_levels: usize) -> usize {
        self.inverse.levels() + 1 + self.rounds + output_levels
    }

    /// The true score for a normalised one: what an observer of the scores sees.
    pub fn score(&self, head: usize, normalised: f64) -> f64 {
        self.centres[head] + self.half_width * (1.0 + SLACK) * normalised
    }

    /// The true logarithm of the sum of `exp(score)` for a normalised denominator: what an observer of the crossing
    /// sees.
    pub fn log_denominator(&self, head: usize, normalised: f64) -> f64 {
        let sum = (normalised + self.denominator_centre) / self.denominator_scale;
        sum.ln() + self.centres[head] + self.half_width
    }

    /// Probabilities of half-bootstrapped, still distorted scores at level `score_levels() + output_levels`; zero where
    /// no pair is live.
    ///
    /// # Errors
    /// If there is not one ciphertext per block of scores; those of the crossing and the evaluator.
    pub fn apply<E: Evaluator>(
        &self,
        e: &E,
        attention: &SlotAttention,
        scores: &[E::Slots],
        output_levels: usize,
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let blocks = attention.score_blocks();
        if scores.len() != blocks.len() {
            let remedy = "use the layout of the scores";
            return Err(refuse("Softmax::apply", "ciphertexts", scores.len(), blocks.len(), remedy));
        }
        let exponentials: Vec<E::Slots> = blocks
            .iter()
            .zip(scores)
            .map(|(block, x)| {
                let mask = attention.score_plain(block, |_| 1.0);
                Ok(e.plain_combination(&[(&self.exponential.apply(e, x)?, &mask)])?)
            })
            .collect::<Result<_>>()?;

        // The blocks of one ciphertext of heads follow one another and share their denominators.
        let groups = || exponentials.chunks(blocks.len().div_ceil(attention.heads().ciphertexts()));
        let centred = |(head_ciphertext, group): (usize, &[E::Slots])| {
            let sum = attention.sum_over_keys(e, group)?;
            // Where no sum arrives stands the middle of the window. The mask takes no level that the exponentials need.
            let sum = e.plain_combination(&[(&sum, &attention.sum_plain(head_ciphertext, 1.0))])?;
            Ok(e.add_plain(&sum, &attention.sum_plain(head_ciphertext, -self.denominator_centre))?)
        };
        let denominators: Vec<E::Slots> = groups().enumerate().map(centred).collect::<Result<_>>()?;
        let count = denominators.len();
        let normalised = crossing(denominators, self.denominator_levels(output_levels))?;
        if normalised.len() != count {
            let remedy = "return what was handed over";
            return Err(refuse("Softmax::apply", "crossed ciphertexts", normalised.len(), count, remedy));
        }

        let mut probabilities = Vec::with_capacity(scores.len());
        for (group, denominator) in groups().zip(&normalised) {
            let mut factor = self.inverse.apply(e, denominator)?;
            let mut group = group.to_vec();
            for round in 0..=self.rounds {
                if round > 0 {
                    let sum = attention.sum_over_keys(e, &group)?;
                    factor = e.add_constant(&e.multiply_integer(&sum, -1)?, 2.0)?;
                }
                group = group.iter().map(|x| Ok(e.multiply(x, &factor)?)).collect::<Result<_>>()?;
            }
            probabilities.extend(group);
        }
        Ok(probabilities)
    }
}

/// The reciprocal and the number of rounds that together reach the tolerance at the fewest levels (the lower degree
/// among equals), or come nearest to it.
fn fit_inverse(window: &str, tolerance: f64, reciprocal: impl Fn(f64) -> f64) -> Result<(Approximation, usize)> {
    let mut candidates = Vec::new();
    for rounds in ROUNDS {
        let squarings = 1 << rounds;
        let tolerance = tolerance.powf(1.0 / f64::from(squarings));
        let target = Target { criterion: Criterion::Relative, tolerance, limit: INVERSE_LIMIT };
        let fit = Approximation::fit("inverse of a SoftMax denominator", window, target, &reciprocal)?;
        candidates.push((fit.error().powi(squarings), fit, rounds));
    }
    let cost = |fit: &Approximation, rounds: usize| (fit.levels() + rounds, fit.degree());
    candidates.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let enough = candidates.iter().filter(|(error, ..)| *error <= tolerance);
    let best = enough.min_by_key(|(_, fit, rounds)| cost(fit, *rounds)).or(candidates.first());
    let best = best.map(|(_, fit, rounds)| (fit.clone(), *rounds));
    best.ok_or_else(|| refuse("Softmax::new", "rounds of renormalisation", "none", "at least one", "report this"))
}
