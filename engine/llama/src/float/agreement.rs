//! How well other logits agree with the reference, over all live positions.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

/// How many of the reference's largest logits enter the logit error.
const TOP: usize = 5;

/// Agreement of two sets of logits for the same tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Live positions compared.
    pub positions: usize,
    /// Share of positions with the same most likely token.
    pub top1: f64,
    /// Mean Kullback-Leibler divergence of the other SoftMax from the reference's, in nats.
    pub kl_mean: f64,
    /// Largest Kullback-Leibler divergence, in nats.
    pub kl_max: f64,
    /// Largest absolute difference over the reference's five largest logits of every position.
    pub top5_logit_error_max: f64,
    /// Mean over positions of that position's largest such difference.
    pub top5_logit_error_mean: f64,
    /// Perplexity of the reference on the next tokens inside each prompt; `None` if no prompt has two tokens.
    pub perplexity_reference: Option<f64>,
    /// Perplexity of the other logits on the same tokens.
    pub perplexity_other: Option<f64>,
    /// Where the most likely token differs: the largest lead, in reference logits, of the reference's choice over the
    /// other's. 0 if none differs.
    pub largest_margin_lost: f64,
}

/// Compares the logits of one block, vocabulary x tokens each.
///
/// # Errors
/// [`Error::Shape`] unless both have the same rows, and one column per block position.
pub fn compare(block: &PromptBlock, reference: &Matrix, other: &Matrix) -> Result<Agreement> {
    let mut comparison = Comparison::default();
    comparison.add(block, reference, other)?;
    Ok(comparison.agreement())
}

/// Agreement at one live position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionAgreement {
    /// Which prompt of its block.
    pub prompt: usize,
    /// Place in that prompt.
    pub position: usize,
    /// Kullback-Leibler divergence, in nats.
    pub kl: f64,
    /// Largest absolute difference over the reference's five largest logits.
    pub top5_logit_error: f64,
    /// Whether the most likely token is the same.
    pub same_choice: bool,
}

/// Collects positions of several blocks.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    each: Vec<PositionAgreement>,
    positions: usize,
    same: usize,
    kl: SumMax,
    top5: SumMax,
    margin_lost: f64,
    predictions: usize,
    loss_reference: f64,
    loss_other: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct SumMax {
    sum: f64,
    max: f64,
}

impl SumMax {
    /// A NaN stays visible in both.
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.max = larger(self.max, value);
    }
}

impl Comparison {
    /// Adds the live positions of one block.
    ///
    /// # Errors
    /// As [`compare`].
    pub fn add(&mut self, block: &PromptBlock, reference: &Matrix, other: &Matrix) -> Result<()> {
        let required = (reference.rows(), block.size());
        for found in [reference.shape(), other.shape()] {
            if found != required || found.0 == 0 {
                return Err(Error::Shape { operation: "compare logits", found, required });
            }
        }
        for (prompt, span) in block.prompts().iter().enumerate() {
            for position in span.positions() {
                let next = (position + 1 < span.start + span.len).then(|| block.tokens()[position + 1] as usize);
                let place = (prompt, position - span.start);
                self.add_position(place, &reference.column(position), &other.column(position), next);
            }
        }
        Ok(())
    }

    fn add_position(
        &mut self,
        (prompt, position): (usize, usize),
        reference: &[f32],
        other: &[f32],
        next: Option<usize>,
    ) {
        let (log_p, log_q) = (log_softmax(reference), log_softmax(other));
        self.positions += 1;
        let kl: f64 = log_p.iter().zip(&log_q).map(|(p, q)| p.exp() * (p - q)).sum();
        // Never negative in exact arithmetic; rounding may leave -1e-17.
        let kl = larger(kl, 0.0);
        self.kl.add(kl);

        let largest = largest(reference);
        let error = |&token: &usize| (f64::from(reference[token]) - f64::from(other[token])).abs();
        let top5_logit_error = largest.iter().map(error).fold(0.0, larger);
        self.top5.add(top5_logit_error);

        let (choice, other_choice) = (largest[0], argmax(other));
        self.each.push(PositionAgreement {
            prompt,
            position,
            kl,
            top5_logit_error,
            same_choice: choice == other_choice,
        });
        if choice == other_choice {
            self.same += 1;
        } else {
            let margin = f64::from(reference[choice]) - f64::from(reference[other_choice]);
            self.margin_lost = self.margin_lost.max(margin);
        }
        // A prompt's tokens are tokens of the model that gave the reference; logits cut to fewer rows predict none.
        if let Some(next) = next.filter(|&next| next < reference.len()) {
            self.predictions += 1;
            self.loss_reference -= log_p[next];
            self.loss_other -= log_q[next];
        }
    }

    /// Every position added, in order.
    pub fn by_position(&self) -> &[PositionAgreement] {
        &self.each
    }

    /// The agreement over everything added; of no positions at all, zero errors and no perplexity.
    pub fn agreement(&self) -> Agreement {
        let mean = |sum: f64| sum / self.positions.max(1) as f64;
        let perplexity = |loss: f64| (self.predictions > 0).then(|| (loss / self.predictions as f64).exp());
        Agreement {
            positions: self.positions,
            top1: mean(self.same as f64),
            kl_mean: mean(self.kl.sum),
            kl_max: self.kl.max,
            top5_logit_error_max: self.top5.max,
            top5_logit_error_mean: mean(self.top5.sum),
            perplexity_reference: perplexity(self.loss_reference),
            perplexity_other: perplexity(self.loss_other),
            largest_margin_lost: self.margin_lost,
        }
    }
}

/// The larger of two numbers; NaN if one is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let maximum = logits.iter().map(|&logit| f64::from(logit)).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - maximum).exp()).sum();
    let shift = maximum + sum.ln();
    logits.iter().map(|&logit| f64::from(logit) - shift).collect()
}

/// The indices of the largest logits, largest first, the lower index first among equals.
fn largest(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let descending = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    if order.len() > TOP {
        order.select_nth_unstable_by(TOP - 1, descending);
        order.truncate(TOP);
    }
    order.sort_unstable_by(descending);
    order
}

/// The index of the largest logit, the lowest among equals.
fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a))).unwrap_or_default()
}
