//! The scores over lanes as SoftMax sees them.

use std::sync::Arc;

use fhe_ckks::{Copies, Evaluator, Rotation};

use super::LaneAttention;
use crate::attention::LivePair;
use crate::error::{Result, refuse};
use crate::layout::RowModule;
use crate::score_layout::{ScoreContract, ScoreLayout, SumCrossing};
use crate::window::Window;

/// Scores of [`LaneAttention`] under a block mask.
///
/// The keys of a set lie in its ciphertexts and, in each, in the fields above tokens and lanes. A sum over them is one of ciphertexts, then
/// one over the fields of each half by rotations. All fields lie on one cycle, so a window of as many fields is the sum of
/// one half in that half's first field alone: a mask keeps it there and the reversed window spreads it.
#[derive(Clone, Debug)]
pub struct LaneScores {
    attention: Arc<LaneAttention>,
    /// `attends[query * tokens + key]`.
    attends: Vec<bool>,
}

impl LaneScores {
    /// The scores of an attention; `attends(query, key)` by block positions.
    ///
    /// # Errors
    /// If a query attends to no key.
    pub fn new(attention: Arc<LaneAttention>, attends: impl Fn(usize, usize) -> bool) -> Result<Self> {
        let tokens = attention.layout().module().tokens();
        let attends: Vec<bool> = (0..tokens * tokens).map(|index| attends(index / tokens, index % tokens)).collect();
        if let Some(query) = attends.chunks(tokens).position(|keys| !keys.contains(&true)) {
            let remedy = "let every query attend to itself";
            return Err(refuse("LaneScores::new", "keys", format!("none for query {query}"), "at least one", remedy));
        }
        Ok(Self { attention, attends })
    }

    /// The products.
    pub fn attention(&self) -> &LaneAttention {
        &self.attention
    }

    /// A plaintext over the slots of a ciphertext of scores: `value` for every pair, live or not, zero for padding heads.
    pub fn pair_plain(&self, ciphertext: usize, value: impl Fn(LivePair) -> f64) -> Vec<f64> {
        let (set, number) = self.place(ciphertext);
        let pair = |pair: super::LanePair| LivePair { head: pair.head, query: pair.query, key: pair.key };
        self.attention.layout().score_plain(set, number, |lanes| value(pair(lanes)))
    }

    /// Set, and number in it, of a ciphertext.
    fn place(&self, ciphertext: usize) -> (usize, usize) {
        let length = self.attention.layout().score_ciphertexts();
        (ciphertext / length, ciphertext % length)
    }

    fn module(&self) -> RowModule {
        self.attention.layout().module()
    }

    /// Slots of one field of keys.
    fn field_slots(&self) -> usize {
        self.module().half_tokens() * self.attention.layout().lanes()
    }

    /// Fields of keys in a half.
    fn fields(&self) -> usize {
        self.module().slots() / 2 / self.field_slots()
    }
}

impl ScoreLayout for LaneScores {
    const CONTRACT: ScoreContract = ScoreContract::LANES;

    fn slots(&self) -> usize {
        self.module().slots()
    }

    fn set_lengths(&self) -> Vec<usize> {
        let layout = self.attention.layout();
        vec![layout.score_ciphertexts(); layout.sets()]
    }

    fn live_pairs(&self, ciphertext: usize) -> Vec<(usize, LivePair)> {
        let (set, number) = self.place(ciphertext);
        let tokens = self.module().tokens();
        let pairs = self.attention.layout().pairs(set, number);
        let live = pairs.filter(|(_, pair)| self.attends[pair.query * tokens + pair.key]);
        live.map(|(slot, pair)| (slot, LivePair { head: pair.head, query: pair.query, key: pair.key })).collect()
    }

    fn sum_over_keys<E: Evaluator>(&self, e: &E, scores: &[E::Slots]) -> Result<E::Slots> {
        let Some((first, others)) = scores.split_first() else {
            let remedy = "pass the ciphertexts of a set";
            return Err(refuse("sum_over_keys", "ciphertexts of scores", "none", "at least one", remedy));
        };
        let mut sum = first.clone();
        for other in others {
            sum = e.add(&sum, other)?;
        }
        let (fields, slots) = (self.fields(), self.field_slots());
        let rotation = |fields: i64| Rotation(fields * slots as i64);
        let following = Window { stride: 1, length: fields, before: 0 };
        let preceding = Window { before: fields - 1, ..following };
        let sums = following.sum_by(e, rotation, sum)?;
        let half = self.module().slots() / 2;
        let mask: Vec<f64> = (0..2 * half).map(|slot| if slot % half < slots { 1.0 } else { 0.0 }).collect();
        preceding.sum_by(e, rotation, e.plain_combination(&[(&sums, &mask)])?)
    }

    fn sum_plain(&self, set: usize, value: f64) -> Vec<f64> {
        let layout = self.attention.layout();
        let mut used = vec![false; layout.lanes()];
        layout.heads_of_set(set).for_each(|(_, lane)| used[lane] = true);
        (0..self.module().slots()).map(|slot| if used[slot % used.len()] { value } else { 0.0 }).collect()
    }

    fn sum_crossing(&self) -> SumCrossing {
        SumCrossing::Copies(Copies(self.fields()))
    }
}
