//! Tokens that are generated after a prompt.

use super::{CircuitKind, InputSection, SoftmaxVariant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens to generate after the one prompt, against its encrypted keys and values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerationSection {
    /// So many: the first follows from the prompt's own logits, each other one takes a step of its own.
    pub tokens: usize,
    /// Rounds of `normalize-and-square` in steps; as in the prompt if left out. One query at a time can do with fewer than a block: two leave levels
    /// for the products behind them, three take a half bootstrap more for these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<usize>,
    /// Draws from the probabilities at this temperature; left out: the most likely token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// What the client draws with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl GenerationSection {
    /// What is wrong with it in a cell of this circuit and input: a key and its problem.
    pub(super) fn problem(
        &self,
        circuit: CircuitKind,
        input: &InputSection,
        softmax: SoftmaxVariant,
    ) -> Option<(&'static str, String)> {
        let problem = |key, problem: &str| Some((key, problem.to_owned()));
        if circuit != CircuitKind::Decoder {
            return problem("generation.tokens", "is given, but only a whole decoder generates; leave `circuit` out");
        }
        if input.text.is_some() {
            return problem("generation.tokens", "is given, but windows of a text are not continued; name one prompt");
        }
        if self.tokens < 2 {
            let problem = format!("is {}, at least 2 are required: the first is the prompt's own", self.tokens);
            return Some(("generation.tokens", problem));
        }
        if let Some(temperature) = self.temperature.filter(|value| !(value.is_finite() && *value > 0.0)) {
            let problem = format!("is {temperature}, a positive number is required; leave it out for the most likely");
            return Some(("generation.temperature", problem));
        }
        match self.rounds {
            Some(rounds @ (0 | 5..)) => {
                return Some(("generation.rounds", format!("is {rounds}, 1 to 4 are possible")));
            }
            Some(_) if softmax != SoftmaxVariant::NormalizeAndSquare => {
                return problem("generation.rounds", "is given, but only `normalize-and-square` has rounds to choose");
            }
            _ => (),
        }
        match (self.temperature, self.seed) {
            (Some(_), None) => problem("generation.seed", "is missing: what is drawn must be drawn again the same"),
            (None, Some(_)) => problem("generation.seed", "is given, but nothing is drawn without a temperature"),
            _ => None,
        }
    }
}
