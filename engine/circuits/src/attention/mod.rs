//! Attention over slots: scores `Q K^T` and weighted values `P V` with both operands encrypted.
//!
//! Queries, keys and values share one layout ([`HeadLayout`]): rows ordered `[channel | replica | head]`, tokens in the
//! lowest slots. The channel is the highest field, so rotations by whole channels are cyclic over exactly the channels:
//! a sum over a head's channels needs no mask and arrives in all of them. Key and value heads are repeated for the
//! query heads that share them, by duplicated weight rows.
//!
//! A query meets the keys one **offset** at a time (query position minus key position): a product of the queries with
//! the keys moved by that many tokens. Where a ciphertext has room for more rows than the heads need, replica `g` of
//! the keys is moved by `g` more tokens once, and each product then serves as many offsets as there are replicas. Only
//! offsets at which the block's mask has a live pair are computed ([`KeySchedule`]). Moving tokens drags entries of
//! neighbouring rows in; every mask here keeps live pairs alone.
//!
//! The products of this module are the plain slot-wise ones. Their interface, tensors of scores described by
//! [`ScoreBlock`]s, is what a batched matrix product would fill as well.

mod heads;
mod placement;
mod schedule;
mod scores;
mod weighted_values;

pub use heads::{HeadEntry, HeadLayout};
pub use placement::{Movable, RotaryAngles};
pub use schedule::{KeySchedule, KeyStep};
pub use scores::ScoreMap;

use fhe_ckks::Rotation;

use crate::error::Result;
use crate::layout::RowModule;

/// The slot-wise attention of one block of prompts.
#[derive(Clone, Debug)]
pub struct SlotAttention {
    heads: HeadLayout,
    schedule: KeySchedule,
}

/// What one slot ciphertext of scores holds: up to as many steps of the schedule as a head has rows of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreBlock {
    /// Which ciphertext of heads.
    pub head_ciphertext: usize,
    /// Half of the block that the queries are in.
    pub half: usize,
    /// First step of that half's schedule; step `first_step + m` is in channel row `m`.
    pub first_step: usize,
    /// Number of steps.
    pub steps: usize,
}

/// A query attending to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePair {
    /// Query head.
    pub head: usize,
    /// Block position of the query.
    pub query: usize,
    /// Block position of the key.
    pub key: usize,
}

impl SlotAttention {
    /// Attention of `heads` query heads of `head_dim` channels under a block mask, `attends(query, key)` by block
    /// positions.
    ///
    /// # Errors
    /// If a head has more channels than a ciphertext has rows, or a query attends to no key.
    pub fn new(
        module: RowModule,
        heads: usize,
        head_dim: usize,
        attends: impl Fn(usize, usize) -> bool,
    ) -> Result<Self> {
        let offsets = KeySchedule::most_offsets(module, &attends);
        let heads = HeadLayout::new(module, heads, head_dim, offsets)?;
        let schedule = KeySchedule::new(&heads, attends)?;
        Ok(Self { heads, schedule })
    }

    /// The layout of queries, keys, values and outputs.
    pub fn heads(&self) -> &HeadLayout {
        &self.heads
    }

    /// Which keys meet which queries when.
    pub fn schedule(&self) -> &KeySchedule {
        &self.schedule
    }

    /// The slot ciphertexts of the scores, in order.
    pub fn score_blocks(&self) -> Vec<ScoreBlock> {
        let rows = self.heads.channel_rows();
        let mut blocks = Vec::new();
        for head_ciphertext in 0..self.heads.ciphertexts() {
            for half in 0..2 {
                let steps = self.schedule.steps(half).len();
                blocks.extend((0..steps).step_by(rows).map(|first_step| ScoreBlock {
                    head_ciphertext,
                    half,
                    first_step,
                    steps: rows.min(steps - first_step),
                }));
            }
        }
        blocks
    }

    /// Every live pair of a score block with its slot.
    pub fn live_pairs(&self, block: &ScoreBlock) -> impl Iterator<Item = (usize, LivePair)> {
        let steps = &self.schedule.steps(block.half)[block.first_step..block.first_step + block.steps];
        let half = block.half;
        self.heads.entries(block.head_ciphertext).filter_map(move |(slot, entry)| {
            let step = steps.get(entry.channel_row)?;
            let (query, key) = self.schedule.pair(half, step, entry.replica, entry.token)?;
            Some((slot, LivePair { head: entry.head, query, key }))
        })
    }

    /// A plaintext over the slots of a score block: `value` at live pairs, zero elsewhere.
    pub fn score_plain(&self, block: &ScoreBlock, value: impl Fn(LivePair) -> f64) -> Vec<f64> {
        let mut plain = vec![0.0; self.heads.module().slots()];
        self.live_pairs(block).for_each(|(slot, pair)| plain[slot] = value(pair));
        plain
    }

    /// Rotations that, each followed by an addition, sum over all entries of a score block that belong to one head and
    /// query; the sum arrives in every row of the head.
    pub fn sum_over_keys(&self) -> Vec<Rotation> {
        let mut rotations = Vec::new();
        let mut rows = self.heads.heads_per_ciphertext();
        while rows < self.heads.module().rows() {
            rotations.push(self.heads.module().rotate_rows(rows));
            rows *= 2;
        }
        rotations
    }

    /// How many channel rows are summed (or filled) by rotations of each product; the others by masks. Balances
    /// rotations against products with plaintexts.
    fn channel_group(&self) -> usize {
        /// A rotation costs about as much as so many products with a freshly encoded plaintext.
        const ROTATION_COST: usize = 3;
        let rows = self.heads.channel_rows();
        let cost = |group: usize| ROTATION_COST * group.trailing_zeros() as usize + rows / group;
        (0..=rows.trailing_zeros()).map(|log| 1 << log).min_by_key(|&group| cost(group)).unwrap_or(1)
    }
}
