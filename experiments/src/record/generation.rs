//! Tokens that were generated behind a prompt.

use super::{PhaseSeconds, nan_if_null};
use serde::{Deserialize, Serialize};

/// What a prompt or a token took of the parties.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepEffort {
    /// Wall-clock time of its phases; the total of a token is that of its step.
    pub seconds: PhaseSeconds,
    /// Half bootstraps.
    pub half_bootstraps: u64,
}

impl StepEffort {
    /// Seconds of the server: products, bootstrapping, non-linear layers.
    pub fn server_seconds(&self) -> f64 {
        self.seconds.linear + self.seconds.bootstrapping + self.seconds.nonlinear
    }
}

/// A generated token, and the float model's choice after the same tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratedToken {
    /// Its number in the vocabulary.
    pub token: u32,
    /// Its text.
    pub text: String,
    /// What the float model chooses there.
    pub float_token: u32,
    /// Its text.
    pub float_text: String,
    /// By how much the float model's largest logit leads.
    #[serde(deserialize_with = "nan_if_null")]
    pub float_margin: f64,
    /// Divergence of the probabilities it was chosen from, from the float model's, in nats.
    #[serde(deserialize_with = "nan_if_null")]
    pub kl: f64,
    /// Largest error of the five leading float logits.
    #[serde(deserialize_with = "nan_if_null")]
    pub logit_error: f64,
    /// Divergence from the clear circuit's after the same tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl_from_clear: Option<f64>,
    /// What its step took; none of the first, which follows from the prompt's own logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<StepEffort>,
}

impl GeneratedToken {
    /// Whether it is the float model's choice.
    pub fn agrees(&self) -> bool {
        self.token == self.float_token
    }
}

/// What was generated behind a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationOutcome {
    /// The tokens as text.
    pub text: String,
    /// What the prompt took, with the caches that it left.
    pub prompt: StepEffort,
    /// Token by token.
    pub tokens: Vec<GeneratedToken>,
    /// Where the sequence leaves the calibrated ranges, if it does: found afterwards, by the float model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ranges: Option<String>,
}

impl GenerationOutcome {
    /// Steps: tokens but for the first.
    pub fn steps(&self) -> impl Iterator<Item = &StepEffort> {
        self.tokens.iter().filter_map(|token| token.effort.as_ref())
    }

    /// Mean of a quantity over the steps; none if there was no step.
    pub fn step_mean(&self, quantity: impl Fn(&StepEffort) -> f64) -> Option<f64> {
        let steps = self.steps().count();
        (steps > 0).then(|| self.steps().map(quantity).sum::<f64>() / steps as f64)
    }

    /// How many tokens are the float model's choices.
    pub fn agreeing(&self) -> usize {
        self.tokens.iter().filter(|token| token.agrees()).count()
    }
}
