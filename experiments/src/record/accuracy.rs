//! How good an answer is: errors inside the circuit, agreement of the logits, the text that comes out.

use super::nan_if_null;
use serde::{Deserialize, Serialize};

/// The error of one site of the circuit, over all live positions and channels.
///
/// Bits are log2(error / rms), where rms is the root mean square of the token's reference row: -12 means an error of
/// 2^-12 of a typical entry. Smaller is better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerError {
    /// The reference: `float` or `clear circuit`.
    pub against: String,
    /// Decoder layers passed as a whole: 0 at the embedding and inside the first layer.
    pub layer: usize,
    /// What was compared, such as [`RESIDUAL`].
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

/// The name of the float model as a reference.
pub const FLOAT: &str = "float";
/// The name of the clear circuit with the same integer weights as a reference.
pub const CLEAR_CIRCUIT: &str = "clear circuit";

/// The residual stream between two layers, before the first and after the last.
pub const RESIDUAL: &str = "residual";
/// The residual stream inside a layer, after its attention was added.
pub const RESIDUAL_AFTER_ATTENTION: &str = "residual after attention";

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
    /// The same by position, in block order.
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
