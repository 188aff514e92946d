//! How good an answer is: errors inside the circuit, agreement of the logits, the text that comes out.

use super::nan_if_null;
use fhe_model::Site;
use serde::{Deserialize, Serialize};

/// The error of one site of the circuit, over all live positions and channels.
///
/// Bits are log2(error / rms), where rms is the root mean square of the token's reference row: -12 means an error of
/// 2^-12 of a typical entry. Smaller is better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerError {
    /// The reference: `float` or `clear circuit`.
    pub against: String,
    /// The decoder layer it lies in, from 0; absent before the first and after the last.
    pub layer: Option<usize>,
    /// What was compared, by the name of its [`Site`].
    pub site: String,
    /// Largest relative error, in bits.
    #[serde(deserialize_with = "nan_if_null")]
    pub max_error_bits: f64,
    /// Mean relative error, in bits.
    #[serde(deserialize_with = "nan_if_null")]
    pub mean_error_bits: f64,
    /// Largest absolute error.
    #[serde(deserialize_with = "nan_if_null")]
    pub max_abs: f64,
    /// Mean absolute error.
    #[serde(deserialize_with = "nan_if_null")]
    pub mean_abs: f64,
    /// Root mean square of the reference over all positions.
    #[serde(deserialize_with = "nan_if_null")]
    pub rms: f64,
}

impl LayerError {
    /// Whether it is the error of this site.
    pub fn is_at(&self, site: Site) -> bool {
        self.site == site.to_string()
    }

    /// Decoder layers that the residual stream has passed where this error was measured, half a layer after attention;
    /// `None` if it is no error of the residual stream.
    pub fn layers_passed(&self) -> Option<f64> {
        match self.layer {
            None => self.is_at(Site::Embedding).then_some(0.0),
            Some(layer) if self.is_at(Site::ResidualAfterAttention) => Some(layer as f64 + 0.5),
            Some(layer) => self.is_at(Site::ResidualAfterFfn).then_some(layer as f64 + 1.0),
        }
    }
}

/// The name of the float model as a reference.
pub const FLOAT: &str = "float";
/// The name of the clear circuit with the same integer weights, and without noise, as a reference: of an encrypted run, and of a clear one with
/// modelled noise.
pub const CLEAR_CIRCUIT: &str = "clear circuit";

/// How well the logits agree with a reference, over all live positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The reference: [`FLOAT`] or [`CLEAR_CIRCUIT`].
    pub against: String,
    /// Positions compared.
    pub positions: usize,
    /// Positions whose most likely token is the reference's.
    pub top1: usize,
    /// Mean Kullback-Leibler divergence of the distribution from the reference's, in nats.
    #[serde(deserialize_with = "nan_if_null")]
    pub kl_mean: f64,
    /// Its maximum.
    #[serde(deserialize_with = "nan_if_null")]
    pub kl_max: f64,
    /// Largest absolute error among the reference's five leading logits.
    #[serde(deserialize_with = "nan_if_null")]
    pub top5_logit_error_max: f64,
    /// Mean of the same.
    #[serde(deserialize_with = "nan_if_null")]
    pub top5_logit_error_mean: f64,
    /// Perplexity of the prompts under the reference.
    pub perplexity_reference: Option<f64>,
    /// Perplexity of the prompts under this run.
    pub perplexity: Option<f64>,
    /// Largest lead of the reference's first token over its second at a position where the first token changed.
    pub largest_margin_lost: Option<f64>,
    /// The same by position, in block order; empty for windows of a text.
    pub by_position: Vec<PositionAgreement>,
}

/// Agreement at one position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PositionAgreement {
    /// Prompt, from 0.
    pub prompt: usize,
    /// Position within the prompt, from 0.
    pub position: usize,
    /// Kullback-Leibler divergence, in nats.
    #[serde(deserialize_with = "nan_if_null")]
    pub kl: f64,
    /// Largest absolute error among the reference's five leading logits.
    #[serde(deserialize_with = "nan_if_null")]
    pub top5_logit_error: f64,
    /// Whether the most likely token is the reference's.
    pub top1: bool,
}

/// One prompt and its continuation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptOutcome {
    /// The prompt.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// The float model's most likely next token, as text.
    pub next_float: String,
    /// This run's most likely next token, as text.
    pub next: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_residual_stream_is_found_by_its_sites() {
        let at = |layer, site: Site| {
            let error = LayerError {
                against: FLOAT.into(),
                layer,
                site: site.to_string(),
                max_error_bits: -9.0,
                mean_error_bits: -12.0,
                max_abs: 0.1,
                mean_abs: 0.01,
                rms: 1.0,
            };
            error.layers_passed()
        };
        assert_eq!(at(None, Site::Embedding), Some(0.0));
        assert_eq!(at(Some(0), Site::ResidualAfterAttention), Some(0.5));
        assert_eq!(at(Some(1), Site::ResidualAfterFfn), Some(2.0));
        assert_eq!(at(Some(1), Site::Gate), None);
        assert_eq!(at(None, Site::Logits), None);
    }
}
