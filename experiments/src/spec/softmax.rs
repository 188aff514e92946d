//! Which circuit a cell runs, and how its SoftMax is evaluated.

use super::Mode;
use fhe_circuits::Functions;
use fhe_model::encrypted::AttentionProducts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What of a model is computed homomorphically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitKind {
    /// The whole decoder, from embedding to logits.
    #[default]
    Decoder,
    /// SoftMax alone, of every head by itself on the float model's scores, with polynomials fitted to that head's windows.
    Softmax,
}

/// How SoftMax is evaluated homomorphically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SoftmaxVariant {
    /// One exponential and one reciprocal of its sum, both polynomials on calibrated intervals.
    ExpInverse,
    /// The exponential of a fraction of the scores, normalised and squared in rounds.
    NormalizeAndSquare,
    /// One exponential and one reciprocal of its sum, in the copies in which keys lie, slim where that is enough.
    ExpSlimInverse,
    /// Squarings of the exponential of a fraction of the scores, divided by with Goldschmidt's iteration.
    ExpGoldschmidt,
}

impl fmt::Display for SoftmaxVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExpInverse => "exp-inverse",
            Self::NormalizeAndSquare => "normalize-and-square",
            Self::ExpSlimInverse => "exp-slim-inverse",
            Self::ExpGoldschmidt => "exp-goldschmidt",
        })
    }
}

/// Choice of the SoftMax circuit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoftmaxSection {
    /// The evaluation method.
    pub variant: SoftmaxVariant,
    /// Rounds of `normalize-and-square`; three if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<usize>,
    /// Of SoftMax alone: so many heads, spread evenly over the model's; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Of SoftMax alone: the largest error of any probability of a head that counts as covered; 2^-10 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_bound: Option<f64>,
}

impl SoftmaxSection {
    /// The circuit's name for it.
    pub fn circuit(&self) -> fhe_circuits::SoftmaxVariant {
        const USUAL_ROUNDS: usize = 3;
        match self.variant {
            SoftmaxVariant::ExpInverse => fhe_circuits::SoftmaxVariant::ExpInverse,
            SoftmaxVariant::NormalizeAndSquare => {
                fhe_circuits::SoftmaxVariant::NormalizeAndSquare { rounds: self.rounds.unwrap_or(USUAL_ROUNDS) }
            }
            SoftmaxVariant::ExpSlimInverse => fhe_circuits::SoftmaxVariant::ExpSlimInverse,
            SoftmaxVariant::ExpGoldschmidt => fhe_circuits::SoftmaxVariant::ExpGoldschmidt,
        }
    }

    /// The largest error of a covered head's probabilities.
    pub fn error_bound(&self) -> f64 {
        const USUAL_BOUND: f64 = 1.0 / 1024.0;
        self.error_bound.unwrap_or(USUAL_BOUND)
    }

    /// What is wrong with it in a cell of these choices: a key and its problem.
    pub(super) fn problem(
        &self,
        circuit: CircuitKind,
        mode: Mode,
        functions: Functions,
        products: AttentionProducts,
    ) -> Option<(&'static str, String)> {
        let variant = self.variant;
        match (variant, self.rounds) {
            (SoftmaxVariant::NormalizeAndSquare, Some(rounds @ (0 | 5..))) => {
                return Some(("softmax.rounds", format!("is {rounds}, 1 to 4 are possible")));
            }
            (SoftmaxVariant::NormalizeAndSquare, _) | (_, None) => (),
            (_, Some(rounds)) => {
                let problem = format!("is {rounds}, but `{variant}` has no rounds to choose; leave it out");
                return Some(("softmax.rounds", problem));
            }
        }
        if variant != SoftmaxVariant::ExpInverse && functions == Functions::Exact {
            let problem = format!("is `exact`, but `{variant}` has polynomials alone; use `exp-inverse`");
            return Some(("engine.functions", problem));
        }
        match circuit {
            CircuitKind::Decoder => {
                let given =
                    [("softmax.heads", self.heads.is_some()), ("softmax.error_bound", self.error_bound.is_some())];
                let (key, _) = given.into_iter().find(|(_, given)| *given)?;
                Some((
                    key,
                    "is given, but only SoftMax alone takes heads by themselves; set circuit = \"softmax\"".into(),
                ))
            }
            CircuitKind::Softmax => self.problem_alone(mode, functions, products),
        }
    }

    /// The same of SoftMax alone.
    fn problem_alone(
        &self,
        mode: Mode,
        functions: Functions,
        products: AttentionProducts,
    ) -> Option<(&'static str, String)> {
        if mode == Mode::Metered {
            return Some((
                "mode",
                "is `metered`, but SoftMax alone is fitted to scores; use `clear` or `encrypted`".into(),
            ));
        }
        if functions == Functions::Exact {
            return Some((
                "engine.functions",
                "is `exact`, but the question of SoftMax alone is what polynomials carry".into(),
            ));
        }
        if products != AttentionProducts::Lanes {
            let problem = "is `slots`, but SoftMax alone stands over lanes; set attention.products = \"lanes\"";
            return Some(("attention.products", problem.into()));
        }
        if self.heads == Some(0) {
            return Some(("softmax.heads", "is 0, at least 1 is required; leave it out for all".into()));
        }
        let bound = self.error_bound();
        let usable = bound.is_finite() && bound > 0.0;
        (!usable).then(|| ("softmax.error_bound", format!("is {bound}, a positive number is required")))
    }
}
