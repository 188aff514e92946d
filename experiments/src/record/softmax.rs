//! SoftMax alone: what a variant carries of a model's heads, how well and for how much.

use super::circuit::PredictedSeconds;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// SoftMax of single heads, each fitted to its own calibrated windows.
///
/// Costs are those from scores in slots to probabilities in slots, crossings of the sums included and what is inside half bootstraps left out, unless said;
/// of the heads that ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxOfHeads {
    /// The largest error of any probability of a head that counts as covered.
    pub error_bound: f64,
    /// Query heads of the model, in all layers.
    pub heads_of_model: usize,
    /// Those that were tried.
    pub heads: usize,
    /// Of these, those that were not refused.
    pub ran: usize,
    /// Of these, those within the bound.
    pub covered: usize,
    /// How many heads were refused, by reason.
    pub refusals: BTreeMap<String, usize>,
    /// Largest error of a probability.
    #[serde(with = "finite_or_null")]
    pub error_max: Option<f64>,
    /// Median over the heads of their largest error.
    #[serde(with = "finite_or_null")]
    pub error_median: Option<f64>,
    /// Mean error of a probability over all live pairs.
    #[serde(with = "finite_or_null")]
    pub error_mean: Option<f64>,
    /// Fewest and most levels.
    pub levels: [usize; 2],
    /// Fewest and most levels that the half bootstraps of a head's sums must leave.
    pub crossing_levels: [usize; 2],
    /// Ciphertexts of scores of a head.
    pub ciphertexts: usize,
    /// Products of two ciphertexts of a head over its ciphertexts of scores: mean over the heads.
    pub products_per_ciphertext: f64,
    /// The same of products with plaintexts.
    pub plaintext_products_per_ciphertext: f64,
    /// Half bootstraps of a head's sums: mean over the heads.
    pub half_bootstraps: f64,
    /// Seconds of a head, bootstraps of its sums included: mean over the heads; absent unless encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What metering predicts of the same.
    pub predicted: Vec<PredictedSeconds>,
    /// Every head that was tried.
    pub by_head: Vec<HeadOutcome>,
}

/// What became of one head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadOutcome {
    /// Its layer, from 0.
    pub layer: usize,
    /// Its number in the layer, from 0.
    pub head: usize,
    /// Half width of the calibrated window of its scores, of pairs that the mask removes too.
    pub half_width: f64,
    /// Natural logarithm of the ratio of the window of its denominators.
    pub denominator_log_width: f64,
    /// Why it did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Degrees of its polynomials, in the order of the computation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degrees: Vec<usize>,
    /// Largest error of a probability; absent if it did not run, infinite if something was no number.
    #[serde(default, with = "finite_or_null", skip_serializing_if = "Option::is_none")]
    pub error_max: Option<f64>,
    /// Mean error over its live pairs.
    #[serde(default, with = "finite_or_null", skip_serializing_if = "Option::is_none")]
    pub error_mean: Option<f64>,
}

impl SoftmaxOfHeads {
    /// Share of the tried heads that are covered, in per cent.
    pub fn coverage(&self) -> f64 {
        100.0 * self.covered as f64 / self.heads.max(1) as f64
    }
}

/// JSON has no infinity; a value that is there but not finite is written as a word, so that it is told from one that is absent.
mod finite_or_null {
    use super::*;

    const INFINITE: &str = "infinite";

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Number(f64),
        Word(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        let stored =
            value.map(|value| if value.is_finite() { Stored::Number(value) } else { Stored::Word(INFINITE.into()) });
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        let stored = Option::<Stored>::deserialize(deserializer)?;
        Ok(stored.map(|stored| match stored {
            Stored::Number(value) => value,
            Stored::Word(_) => f64::INFINITY,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_no_number_is_not_an_absent_one() {
        let head = |error_max: Option<f64>| HeadOutcome {
            layer: 1,
            head: 2,
            half_width: 3.0,
            denominator_log_width: 4.0,
            refusal: None,
            degrees: vec![15],
            error_max,
            error_mean: error_max,
        };
        for error in [None, Some(0.5), Some(f64::INFINITY)] {
            let text = serde_json::to_string(&head(error)).unwrap();
            assert_eq!(serde_json::from_str::<HeadOutcome>(&text).unwrap(), head(error), "{text}");
        }
    }
}
