//! Attention over slots: scores `Q K^T` and weighted values `P V` with both operands encrypted.
//!
//! Queries, keys and values share one layout ([`HeadLayout`]): rows ordered `[channel | replica | head]`, tokens in the
//! lowest slots, the two halves of the block above all. Key and value heads are repeated for the query heads that share
//! them, by duplicated weight rows.
//!
//! A query meets the keys one **offset** at a time (query position minus key position): a product of the queries of both
//! halves with the keys moved by that many tokens, either those of their own half or, with the halves exchanged, those of
//! the other one. Where a ciphertext has room for more rows than the heads need, replica `g` of the keys is moved by `g`
//! more tokens once, and each product then serves as many offsets as there are replicas. Only offsets at which the
//! block's mask has a live pair are computed ([`KeySchedule`]). Moving tokens drags entries of neighbouring rows in; every
//! mask here keeps live pairs alone.
//!
//! Sums over channels and over keys are windows of rows (module `window`), which at the ends of a half reach into the
//! other one. Channels are summed in groups: the windows of a group lie inside it when each looks backwards as far as its
//! row is from the group's first. Keys are summed in one window over all rows of a head: scores leave the upper half of
//! the channel rows zero, so that every window around a row of the lower half meets all keys of its own half of the block
//! and otherwise zeros. Neither takes a mask, or a level.
//!
//! One new token that meets a cache has a layout of its own, [`CacheLayout`](crate::CacheLayout).
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

use std::ops::RangeInclusive;

use fhe_ckks::{Evaluator, Rotation};

use crate::error::{Result, refuse};
use crate::layout::RowModule;
use crate::window::Window;

/// The slot-wise attention of one block of prompts.
#[derive(Clone, Debug)]
pub struct SlotAttention {
    heads: HeadLayout,
    schedule: KeySchedule,
}

/// What one slot ciphertext of scores holds: up to half as many steps of the schedule as a head has rows of channels, for the
/// queries of both halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreBlock {
    /// Which ciphertext of heads.
    pub head_ciphertext: usize,
    /// First step; step `first_step + m` is in channel row `m`.
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
        let (most, steps) = (self.most_steps(), self.schedule.steps().len());
        let of_heads = |head_ciphertext: usize| {
            let first_steps = (0..steps).step_by(most);
            first_steps.map(move |first_step| ScoreBlock {
                head_ciphertext,
                first_step,
                steps: most.min(steps - first_step),
            })
        };
        (0..self.heads.ciphertexts()).flat_map(of_heads).collect()
    }

    /// Every live pair of a score block with its slot.
    pub fn live_pairs(&self, block: &ScoreBlock) -> impl Iterator<Item = (usize, LivePair)> {
        let steps = self.steps(block);
        self.heads.entries(block.head_ciphertext).filter_map(move |(slot, entry)| {
            let step = steps.get(entry.channel_row)?;
            let (query, key) = self.schedule.pair(step, entry.replica, entry.half, entry.token)?;
            Some((slot, LivePair { head: entry.head, query, key }))
        })
    }

    /// A plaintext over the slots of a score block: `value` at live pairs, zero elsewhere.
    pub fn score_plain(&self, block: &ScoreBlock, value: impl Fn(LivePair) -> f64) -> Vec<f64> {
        let mut plain = vec![0.0; self.heads.module().slots()];
        self.live_pairs(block).for_each(|(slot, pair)| plain[slot] = value(pair));
        plain
    }

    /// The sum over all keys of each head and query: over the entries of the score blocks of one ciphertext of heads,
    /// which must be zero where no pair is live. It arrives in every row that a score block may use; what arrives in the
    /// others is no sum of one query's. No level.
    ///
    /// # Errors
    /// If there is no block; those of the evaluator.
    pub fn sum_over_keys<E: Evaluator>(&self, e: &E, blocks: &[E::Slots]) -> Result<E::Slots> {
        let Some((first, others)) = blocks.split_first() else {
            let remedy = "let every query attend to itself";
            return Err(refuse("sum_over_keys", "blocks of scores", "none", "at least one", remedy));
        };
        let mut sum = first.clone();
        for other in others {
            sum = e.add(&sum, other)?;
        }
        let (module, stride) = (self.heads.module(), self.heads.heads_per_ciphertext());
        let length = module.rows() / stride;
        Window { stride, length, before: length / 2 - 1 }.sum(e, module, sum)
    }

    /// A plaintext over the slots of one ciphertext of heads: `value` where sums over keys arrive, zero elsewhere.
    pub fn sum_plain(&self, head_ciphertext: usize, value: f64) -> Vec<f64> {
        self.heads.plain(head_ciphertext, |entry| (entry.channel_row < self.most_steps()).then_some(value))
    }

    /// Steps that a score block has room for.
    fn most_steps(&self) -> usize {
        self.heads.channel_rows() / 2
    }

    fn steps(&self, block: &ScoreBlock) -> &[KeyStep] {
        &self.schedule.steps()[block.first_step..block.first_step + block.steps]
    }

    /// Length of a group of channel rows: they are summed (or filled) by rotations of each product, the groups by masks.
    /// Balances rotations against products with plaintexts.
    fn channel_group(&self) -> usize {
        /// A rotation costs about as much as so many products with a freshly encoded plaintext.
        const ROTATION_COST: usize = 3;
        let rows = self.heads.channel_rows();
        let cost = |group: usize| ROTATION_COST * group.trailing_zeros() as usize + rows / group;
        (0..=rows.trailing_zeros()).map(|log| 1 << log).min_by_key(|&group| cost(group)).unwrap_or(1)
    }
    /// The window over the channel rows of one group around each row that is `before` rows from the group's first.
    fn group_window(&self, before: usize) -> Window {
        Window { stride: self.heads.rows_per_channel(), length: self.channel_group(), before }
    }

    /// The rotation after which channel row `i` holds what was so many groups of channel rows further.
    fn rotate_groups(&self, groups: i64) -> Rotation {
        let rows = groups * (self.channel_group() * self.heads.rows_per_channel()) as i64;
        self.heads.module().rotate_rows(rows)
    }

    /// How many groups further than some row of a block with so many steps another channel row can be.
    fn groups_away(&self, steps: usize) -> RangeInclusive<i64> {
        let (rows, group) = (self.heads.channel_rows(), self.channel_group());
        -((steps.saturating_sub(1) / group) as i64)..=(rows / group) as i64 - 1
    }

    /// The channel row so many groups further, if there is one.
    fn row_away(&self, row: usize, groups: i64) -> Option<usize> {
        let away = usize::try_from(row as i64 + groups * self.channel_group() as i64).ok()?;
        (away < self.heads.channel_rows()).then_some(away)
    }
}
