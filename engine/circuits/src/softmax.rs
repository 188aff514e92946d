//! SoftMax over encrypted scores.
//!
//! Scores arrive as [`SlotAttention`] lays them out, normalised to `(score - centre) / half_width` with a centre per head and one half
//! width, so that every one of them lies in [-1, 1]. Variants differ in how they divide.

use fhe_ckks::{CircuitShape, Evaluator};

use crate::approximation::{Approximation, Criterion, Target};
use crate::attention::{ScoreMap, SlotAttention};
use crate::crossing::Distortion;
use crate::error::{CircuitError, Result, refuse};
use crate::interval::Interval;

/// Error, relative to the smallest denominator, beyond which the exponential is refused.
const EXPONENTIAL_LIMIT: f64 = 1.0 / 64.0;
/// Relative error beyond which the inverse is refused.
const INVERSE_LIMIT: f64 = 1.0 / 64.0;
/// Windows are stretched by this fraction, so that noise does not push a message at their very end out of the range of a bootstrap.
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

/// SoftMax by [`SoftmaxVariant::ExpInverse`], ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Softmax {
    map: ScoreMap,
    centres: Vec<f64>,
    half_width: f64,
    exponential: Approximation,
    inverse: Approximation,
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
        let (distortion, half_width) = (Distortion::of(shape), windows.half_width);
        let denominator = windows.denominator.widened_to_relative(SLACK);
        let denominator = Interval::new(denominator.low * (1.0 - SLACK), denominator.high * (1.0 + SLACK));
        if !(half_width.is_finite() && half_width > 0.0 && windows.centres.iter().all(|centre| centre.is_finite())) {
            let found = format!("half width {half_width} around {:?}", windows.centres);
            return Err(refuse("Softmax::new", "scores", found, "a positive half width", "calibrate the model"));
        }
        if !(denominator.low > 0.0 && denominator.high.is_finite()) {
            let remedy = "calibrate the model";
            return Err(refuse("Softmax::new", "denominator", windows.denominator, "a positive window", remedy));
        }
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
        let target = Target { criterion: Criterion::Relative, tolerance, limit: INVERSE_LIMIT };
        let inverse = Approximation::fit("inverse of a SoftMax denominator", &denominator.to_string(), target, |y| {
            1.0 / (distortion.undo(y) + denominator_centre)
        })?;
        let map = ScoreMap {
            scale: 1.0 / ((head_dim as f64).sqrt() * stretched),
            centres: windows.centres.iter().map(|centre| centre / stretched).collect(),
        };
        Ok(Self {
            map,
            centres: windows.centres.clone(),
            half_width,
            exponential,
            inverse,
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

    /// Levels consumed on the scores: exponential, mask, product with the reciprocal.
    pub fn score_levels(&self) -> usize {
        self.exponential.levels() + 2
    }

    /// Levels that the half bootstrap of the denominators must leave when the probabilities are to end at `output_levels`.
    pub fn denominator_levels(&self, output_levels: usize) -> usize {
        self.inverse.levels() + 1 + output_levels
    }

    /// The true score for a normalised one: what an observer of the scores sees.
    pub fn score(&self, head: usize, normalised: f64) -> f64 {
        self.centres[head] + self.half_width * (1.0 + SLACK) * normalised
    }

    /// The true logarithm of the sum of `exp(score)` for a normalised denominator: what an observer of the crossing sees.
    pub fn log_denominator(&self, head: usize, normalised: f64) -> f64 {
        let sum = (normalised + self.denominator_centre) / self.denominator_scale;
        sum.ln() + self.centres[head] + self.half_width
    }

    /// Probabilities of half-bootstrapped, still distorted scores at level `score_levels() + output_levels`; zero where no pair is live.
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

        // One denominator per ciphertext of heads and half; the blocks of each follow one another.
        let same = |a: usize, b: usize| {
            (blocks[a].head_ciphertext, blocks[a].half) == (blocks[b].head_ciphertext, blocks[b].half)
        };
        let indices: Vec<usize> = (0..blocks.len()).collect();
        let groups: Vec<&[usize]> = indices.chunk_by(|&a, &b| same(a, b)).collect();
        let denominators = groups.iter().map(|group| self.denominators(e, attention, group, &exponentials));
        let denominators: Vec<E::Slots> = denominators.collect::<Result<_>>()?;
        let normalised = crossing(denominators, self.denominator_levels(output_levels))?;
        if normalised.len() != groups.len() {
            let remedy = "return what was handed over";
            return Err(refuse("Softmax::apply", "crossed ciphertexts", normalised.len(), groups.len(), remedy));
        }

        let mut probabilities = Vec::with_capacity(scores.len());
        for (group, denominator) in groups.iter().zip(&normalised) {
            let inverse = self.inverse.apply(e, denominator)?;
            for &index in *group {
                probabilities.push(e.multiply(&exponentials[index], &inverse)?);
            }
        }
        Ok(probabilities)
    }

    /// Scaled denominators, centred in their window; idle heads get its middle.
    fn denominators<E: Evaluator>(
        &self,
        e: &E,
        attention: &SlotAttention,
        group: &[usize],
        exponentials: &[E::Slots],
    ) -> Result<E::Slots> {
        let Some((&first, others)) = group.split_first() else {
            return Err(CircuitError::Precondition {
                operation: "Softmax::apply",
                operand: "blocks of scores",
                found: "none".into(),
                required: "at least one".into(),
                remedy: "let every query attend to itself",
            });
        };
        let mut sum = exponentials[first].clone();
        for &other in others {
            sum = e.add(&sum, &exponentials[other])?;
        }
        for rotation in attention.sum_over_keys() {
            sum = e.add(&sum, &e.rotate(&sum, rotation)?)?;
        }
        let ciphertext = attention.score_blocks()[first].head_ciphertext;
        Ok(e.add_plain(&sum, &attention.heads().whole_heads(ciphertext, -self.denominator_centre))?)
    }
}
