//! SoftMax over encrypted scores.
//!
//! Scores arrive in some [`ScoreLayout`], normalised to `(score - centre) / half_width` with a centre per
//! head and one half width, so that every one of them lies in [-1, 1]. Variants differ in how they divide ([`SoftmaxVariant`]).
//! Behind public keys there is one SoftMax for both kinds, [`JointSoftmax`].
//! What is common to the keys of a query, a sum over them, leaves the slots and returns through a half bootstrap of its own, a [`Passage`].

mod exp_goldschmidt;
mod exp_inverse;
mod exp_slim_inverse;
mod exponential;
mod joint;
mod key_sums;
mod normalize_and_square;
mod sum_reciprocal;
mod windows;

pub use exp_goldschmidt::ExpGoldschmidt;
pub use exp_inverse::ExpInverse;
pub use exp_slim_inverse::ExpSlimInverse;
pub use joint::{JointProbabilities, JointSoftmax, JointTerms, LastDivision, PublicContract};
pub use normalize_and_square::NormalizeAndSquare;
pub use sum_reciprocal::SumReciprocal;
pub use windows::SoftmaxWindows;

use fhe_ckks::{CircuitShape, Evaluator};

use crate::approximation::{Accuracy, FittedPolynomial, Functions};
use crate::attention::ScoreMap;
use crate::crossing::Passage;
use crate::error::{Result, refuse};
use crate::score_layout::{ScoreContract, ScoreLayout, Selection};
use windows::SLACK;

const OPERATION: &str = "Softmax::new";

/// The ways to compute SoftMax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SoftmaxVariant {
    /// One exponential, one reciprocal of the denominators after a half bootstrap of their own.
    #[default]
    ExpInverse,
    /// The exponential of a fraction of the scores, normalised and squared in rounds, each with a half bootstrap of its sums.
    NormalizeAndSquare {
        /// Number of rounds: three, or two where the scores span little.
        rounds: usize,
    },
    /// One exponential, its sum through a half bootstrap in the copies of its keys, one reciprocal in these copies, slim where that is enough.
    ExpSlimInverse,
    /// The exponential of a fraction of the scores and squarings; the sum as in [`SoftmaxVariant::ExpSlimInverse`], divided by with Goldschmidt's iteration.
    ExpGoldschmidt,
}

/// A SoftMax, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Softmax {
    contract: ScoreContract,
    map: ScoreMap,
    centres: Vec<f64>,
    half_width: f64,
    division: Division,
}

#[derive(Clone, Debug)]
enum Division {
    ExpInverse(Box<ExpInverse>),
    NormalizeAndSquare(NormalizeAndSquare),
    ExpSlimInverse(ExpSlimInverse),
    ExpGoldschmidt(ExpGoldschmidt),
}

/// What a polynomial of SoftMax is a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftmaxArgument {
    /// Scores.
    Score,
    /// Sums of exponentials. Of an iteration the degree is that of the polynomial that it amounts to.
    Denominator,
    /// Sums of squares.
    SumOfSquares {
        /// Of this round, counted from zero.
        round: usize,
    },
}

/// A polynomial of a SoftMax.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxPolynomial {
    /// Its argument.
    pub argument: SoftmaxArgument,
    /// What was fitted.
    pub fitted: FittedPolynomial,
}

/// Sends slot ciphertexts through coefficients and a half bootstrap; distorted.
pub type Crossing<'a, S> = dyn FnMut(Vec<S>, Passage) -> Result<Vec<S>> + 'a;

impl Softmax {
    /// Fits the polynomials; `head_dim` gives the usual scale of the scores, `1 / sqrt(head_dim)`.
    ///
    /// # Errors
    /// If a window is empty or a polynomial does not follow its function.
    pub fn new<L: ScoreLayout>(
        variant: SoftmaxVariant,
        windows: &SoftmaxWindows,
        head_dim: usize,
        shape: &CircuitShape,
        accuracy: impl Into<Accuracy>,
        layout: &L,
    ) -> Result<Self> {
        let (accuracy, contract) = (accuracy.into(), L::CONTRACT);
        let (windows, division) = match variant {
            SoftmaxVariant::ExpInverse => {
                let (windows, division) = ExpInverse::new(windows, shape, accuracy, contract)?;
                (windows, Division::ExpInverse(Box::new(division)))
            }
            SoftmaxVariant::NormalizeAndSquare { rounds } => {
                let (windows, division) = NormalizeAndSquare::new(rounds, windows, shape, accuracy, layout)?;
                (windows, Division::NormalizeAndSquare(division))
            }
            SoftmaxVariant::ExpSlimInverse => {
                let (windows, division) = ExpSlimInverse::new(windows, shape, accuracy, layout)?;
                (windows, Division::ExpSlimInverse(division))
            }
            SoftmaxVariant::ExpGoldschmidt => {
                let (windows, division) = ExpGoldschmidt::new(windows, shape, accuracy, layout)?;
                (windows, Division::ExpGoldschmidt(division))
            }
        };
        let SoftmaxWindows { centres, half_width, .. } = windows;
        let stretched = half_width * (1.0 + SLACK);
        let map = ScoreMap {
            scale: 1.0 / ((head_dim as f64).sqrt() * stretched),
            centres: centres.iter().map(|centre| centre / stretched).collect(),
        };
        Ok(Self { contract, map, centres, half_width, division })
    }

    /// How products of queries and keys (of true values) become normalised scores.
    pub fn score_map(&self) -> &ScoreMap {
        &self.map
    }

    /// The polynomials, in the order of the computation.
    pub fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        match &self.division {
            Division::ExpInverse(division) => division.polynomials(),
            Division::NormalizeAndSquare(division) => division.polynomials(),
            Division::ExpSlimInverse(division) => division.polynomials(),
            Division::ExpGoldschmidt(division) => division.polynomials(),
        }
    }

    /// The division of [`SoftmaxVariant::ExpInverse`], if this is one.
    pub fn exp_inverse(&self) -> Option<&ExpInverse> {
        if let Division::ExpInverse(division) = &self.division { Some(division) } else { None }
    }

    /// That of [`SoftmaxVariant::NormalizeAndSquare`], if this is one.
    pub fn normalize_and_square(&self) -> Option<&NormalizeAndSquare> {
        if let Division::NormalizeAndSquare(division) = &self.division { Some(division) } else { None }
    }

    /// That of [`SoftmaxVariant::ExpSlimInverse`], if this is one.
    pub fn exp_slim_inverse(&self) -> Option<&ExpSlimInverse> {
        if let Division::ExpSlimInverse(division) = &self.division { Some(division) } else { None }
    }

    /// That of [`SoftmaxVariant::ExpGoldschmidt`], if this is one.
    pub fn exp_goldschmidt(&self) -> Option<&ExpGoldschmidt> {
        if let Division::ExpGoldschmidt(division) = &self.division { Some(division) } else { None }
    }

    /// Levels from the half bootstrap of the scores to the end of what follows SoftMax.
    pub fn score_levels(&self) -> usize {
        self.contract.opening_levels
            + match &self.division {
                Division::ExpInverse(division) => division.score_levels(),
                Division::NormalizeAndSquare(division) => division.score_levels(),
                Division::ExpSlimInverse(division) => division.score_levels(),
                Division::ExpGoldschmidt(division) => division.score_levels(),
            }
    }

    /// The most levels that a half bootstrap of sums over keys must leave.
    pub fn crossing_levels(&self) -> usize {
        match &self.division {
            Division::ExpInverse(division) => division.denominator_levels(),
            Division::NormalizeAndSquare(division) => division.crossing_levels(),
            Division::ExpSlimInverse(division) => division.reciprocal().passage().levels,
            Division::ExpGoldschmidt(division) => division.crossing_levels(),
        }
    }

    /// The true score for a normalised one: what an observer of the scores sees.
    pub fn score(&self, head: usize, normalised: f64) -> f64 {
        self.centres[head] + self.half_width * (1.0 + SLACK) * normalised
    }

    /// The true logarithm of the sum of `exp(score)` for a normalised denominator: what an observer of the crossing
    /// sees. Not a number of other variants than [`SoftmaxVariant::ExpInverse`]: no denominator crosses in slots of its own.
    pub fn log_denominator(&self, head: usize, normalised: f64) -> f64 {
        let shift = self.centres[head] + self.half_width;
        match &self.division {
            Division::ExpInverse(division) => division.log_denominator(normalised) + shift,
            _ => f64::NAN,
        }
    }

    /// Selections of the probabilities of one set of scores, at the levels that the contract leaves them: masks on the last factor.
    ///
    /// # Errors
    /// Of other variants than [`SoftmaxVariant::NormalizeAndSquare`]; as [`Softmax::apply`].
    pub fn apply_selected<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        (scores, selections): (&[E::Slots], &[Selection]),
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        self.check_scores("Softmax::apply_selected", layout, scores.len())?;
        match &self.division {
            Division::NormalizeAndSquare(division) => {
                division.apply_selected(e, layout, (scores, selections), crossing)
            }
            _ => refuse_selections(),
        }
    }

    fn check_scores<L: ScoreLayout>(&self, operation: &'static str, layout: &L, scores: usize) -> Result<()> {
        if L::CONTRACT != self.contract {
            let (found, required) = (format!("{:?}", L::CONTRACT), format!("{:?}", self.contract));
            return Err(refuse(operation, "layout of the scores", found, required, "prepare for this layout"));
        }
        if scores != layout.ciphertexts() {
            let remedy = "use the layout of the scores";
            return Err(refuse(operation, "ciphertexts", scores, layout.ciphertexts(), remedy));
        }
        Ok(())
    }

    /// Probabilities of scores in slots, distorted if the contract's `opening_levels` are zero, [`Softmax::score_levels`] less these below
    /// their half bootstrap; zero where no pair is live.
    ///
    /// # Errors
    /// If the layout has another contract, or there is not one ciphertext per ciphertext of scores; those of the crossing and the evaluator.
    pub fn apply<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        scores: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        self.check_scores("Softmax::apply", layout, scores.len())?;
        match &self.division {
            Division::ExpInverse(division) => division.apply(e, layout, scores, crossing),
            Division::NormalizeAndSquare(division) => division.apply(e, layout, scores, crossing),
            Division::ExpSlimInverse(division) => division.apply(e, layout, scores, crossing),
            Division::ExpGoldschmidt(division) => division.apply(e, layout, scores, crossing),
        }
    }
}

/// Refuses selections of a variant that makes none.
fn refuse_selections<T>() -> Result<T> {
    let remedy = "use normalize-and-square, or select from probabilities";
    Err(refuse("Softmax::apply_selected", "variant", "one with a division of its own", "normalize-and-square", remedy))
}

/// Refuses exact functions for a variant whose polynomials carry its mask.
fn check_polynomials(accuracy: Accuracy) -> Result<()> {
    if accuracy.functions == Functions::Exact {
        let remedy = "use polynomials, or the variant exp-inverse";
        return Err(refuse(OPERATION, "functions", "exact", "polynomials", remedy));
    }
    Ok(())
}

/// The ciphertexts of each set of scores.
fn by_sets<'a, S, L: ScoreLayout>(layout: &L, mut scores: &'a [S]) -> Vec<&'a [S]> {
    let lengths = layout.set_lengths().into_iter();
    let set = |length: usize| {
        let (set, others) = scores.split_at(length);
        scores = others;
        set
    };
    lengths.map(set).collect()
}

/// Sends sums through a passage and refuses other numbers of them.
fn crossed<S>(crossing: &mut Crossing<'_, S>, sums: Vec<S>, passage: Passage) -> Result<Vec<S>> {
    let count = sums.len();
    let returned = crossing(sums, passage)?;
    if returned.len() == count {
        return Ok(returned);
    }
    let remedy = "return what was handed over";
    Err(refuse("Softmax::apply", "crossed ciphertexts", returned.len(), count, remedy))
}
