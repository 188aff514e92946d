//! Sums over public and encrypted keys together.
//!
//! The sums over the encrypted keys of a query lie in lanes ([`crate::LaneScores`]), those over its public keys where a block's first key lies
//! ([`KeyRows`]). They meet in a **common place**, that of lanes after the exchange of heads and tokens:
//!
//! ```text
//! encrypted keys   [ copies | token | head ]  --exchange-->  common  [ copies | head | token ]
//! public keys      [ rows of a block, summed by rotations ]  ------->  its first copy
//! ```
//!
//! There tokens are lowest, as they are in the layout of public keys as weights, and a sum moves by as many rotations as there are heads. The layout of those in slots
//! exchanges two fields ([`PublicLayout`](super::PublicLayout)): the exchange is a first step on the way, its inverse on the way back. From the common place
//! sums cross: the average over its copies passes, so that a public sum in one copy counts as much as encrypted keys in all of them. What a
//! polynomial makes of them goes both ways back. Each way takes a level.

use fhe_ckks::{Evaluator, PlainVector};

use super::KeyRows;
use crate::error::{Result, refuse};
use crate::lane_attention::LaneAttention;
use crate::score_layout::ScoreLayout;
use crate::sparse_map::{SlotEntry, SlotPlace, SparseMap};
use crate::{LaneLayout, LaneScores};

/// Where the sums over keys of two attentions meet.
#[derive(Clone, Debug)]
pub struct JointSums {
    scores: LaneScores,
    /// Of each ciphertext of queries of the public attention.
    key_rows: Vec<KeyRows>,
    meet: SparseMap,
    part: SparseMap,
    /// For each set of heads, 1 where sums cross in the common place, and 0 otherwise.
    arrivals: Vec<PlainVector>,
}

impl JointSums {
    /// Levels from either attention to the common place, and back.
    pub const LEVELS: usize = 1;

    /// For scores over lanes and public scores in `key_rows`, of which `first(head, query)` says where that of a block's first key lies, and `exchange` by which
    /// distances, and their negatives, the layout of these exchanges fields; none if it does not.
    ///
    /// # Errors
    /// If a place is none of these ciphertexts.
    pub fn new(
        scores: &LaneScores,
        key_rows: Vec<KeyRows>,
        first: impl Fn(usize, usize) -> SlotPlace,
        exchange: &[i64],
    ) -> Result<Self> {
        let layout = scores.attention().layout();
        let (slots, tokens) = (layout.module().slots(), layout.module().tokens());
        let pairs: Vec<[SlotPlace; 2]> = (0..layout.heads())
            .flat_map(|head| (0..tokens).map(move |query| (head, query)))
            .map(|(head, query)| [first(head, query), common_place(layout, head, query)])
            .collect();
        if let Some([place, _]) = pairs.iter().find(|[place, _]| place.ciphertext >= key_rows.len()) {
            let required = format!("below {}", key_rows.len());
            let remedy = "give every ciphertext of queries its rows of keys";
            return Err(refuse("JointSums::new", "ciphertext", place.ciphertext, required, remedy));
        }
        let map = |from: usize, to: usize| {
            let entry = |pair: &[SlotPlace; 2]| SlotEntry { from: pair[from], to: pair[to], factor: 1.0 };
            let entries = pairs.iter().map(entry);
            if exchange.is_empty() {
                SparseMap::new(slots, entries)
            } else {
                SparseMap::in_steps(slots, entries, exchange)
            }
        };
        let exchanged = |set: usize| {
            let arrivals: Vec<f64> = scores.arrivals(set).numbers().collect();
            (0..arrivals.len()).map(|slot| arrivals[layout.exchanged(slot)]).collect::<Vec<_>>().into()
        };
        let arrivals = (0..layout.sets()).map(exchanged).collect();
        Ok(Self { scores: scores.clone(), key_rows, meet: map(0, 1)?, part: map(1, 0)?, arrivals })
    }

    /// The scores of encrypted keys.
    pub fn scores(&self) -> &LaneScores {
        &self.scores
    }

    /// The rows of public keys in the scores of each ciphertext of queries.
    pub fn key_rows(&self) -> &[KeyRows] {
        &self.key_rows
    }

    /// The largest number of keys that a query attends to.
    pub fn most_keys(&self) -> usize {
        self.scores.most_keys() + self.key_rows.first().map_or(0, |rows| rows.keys)
    }

    /// For each set of heads, 1 where sums cross in the common place, and 0 otherwise.
    pub(crate) fn arrivals(&self) -> &[PlainVector] {
        &self.arrivals
    }

    /// Sums over all keys in the common place, one for each set of heads, to be averaged over its copies: from the terms of encrypted keys, summed over the
    /// ciphertexts of each set, and those of public keys, summed over the blocks of each ciphertext of queries. Terms must be zero where an encrypted pair is not live
    /// and at keys that pad a block.
    ///
    /// # Errors
    /// If there is another number of sums; those of the evaluator.
    pub(crate) fn meet<E: Evaluator>(&self, e: &E, own: &[E::Slots], public: Vec<E::Slots>) -> Result<Vec<E::Slots>> {
        self.check("sums over public keys", public.len(), self.key_rows.len())?;
        self.check("sums over encrypted keys", own.len(), self.attention().layout().sets())?;
        let gathered = public.into_iter().zip(&self.key_rows).map(|(sum, rows)| rows.gather(e, sum));
        let public = self.meet.apply(e, &gathered.collect::<Result<Vec<_>>>()?)?;
        let own = self.attention().exchange(e, own)?;
        own.iter().zip(&public).map(|(own, public)| Ok(e.add(own, public)?)).collect()
    }

    /// Factors in the common place, one for each set of heads, to the scores of encrypted keys.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub(crate) fn to_own<E: Evaluator>(&self, e: &E, factors: &[E::Slots]) -> Result<Vec<E::Slots>> {
        self.attention().exchange(e, factors)
    }

    /// The same to those of public keys, one for each ciphertext of queries.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub(crate) fn to_public<E: Evaluator>(&self, e: &E, factors: &[E::Slots]) -> Result<Vec<E::Slots>> {
        let first = self.part.apply(e, factors)?;
        first.into_iter().zip(&self.key_rows).map(|(factor, rows)| rows.spread(e, factor)).collect()
    }

    fn attention(&self) -> &LaneAttention {
        self.scores.attention()
    }

    fn check(&self, operand: &'static str, found: usize, required: usize) -> Result<()> {
        if found == required {
            return Ok(());
        }
        Err(refuse("JointSums::meet", operand, found, required, "use the layouts of these scores"))
    }
}

/// Where the sum of a query meets: in the first copy.
fn common_place(layout: &LaneLayout, head: usize, query: usize) -> SlotPlace {
    let (set, slot) = layout.first_score(head, query);
    SlotPlace { ciphertext: set, slot: layout.exchanged(slot) }
}
