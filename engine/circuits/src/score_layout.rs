//! What SoftMax has to know about the place of scores.

use std::collections::BTreeMap;

use fhe_ckks::{Copies, Evaluator, PlainVector};

use crate::attention::{LivePair, ScoreBlock, SlotAttention};
use crate::crossing::SINE_LEVELS;
use crate::error::Result;
use crate::lane_attention::LaneAttention;

/// How scores come to SoftMax, and what becomes of the probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreContract {
    /// Levels from the half bootstrap of the scores to their slots. If there are any, the sine has been corrected.
    pub opening_levels: usize,
    /// Levels that a sum over keys takes.
    pub sum_levels: usize,
    /// Levels that the probabilities still need.
    pub output_levels: usize,
    /// Levels that the last factor of the probabilities spends on selections of them: none, or one for masks.
    pub selection_levels: usize,
    /// Whether pairs that are not live have scores too, which must then lie in the window of the exponential.
    pub scores_of_all_pairs: bool,
}

impl ScoreContract {
    /// Scores by [`SlotAttention`]: distorted in their slots, summed without a level, live pairs alone.
    pub const SLOTS: Self = Self {
        opening_levels: 0,
        sum_levels: 0,
        output_levels: SlotAttention::PROBABILITY_LEVELS,
        selection_levels: 0,
        scores_of_all_pairs: false,
    };
    /// Scores by [`LaneAttention`]: coefficients of lanes, which are not slots before the sine is corrected; sums take a mask.
    pub const LANES: Self = Self {
        opening_levels: SINE_LEVELS + LaneAttention::LANE_LEVELS,
        sum_levels: 1,
        output_levels: LaneAttention::FACTOR_LEVELS,
        selection_levels: 0,
        scores_of_all_pairs: true,
    };
}

/// Some of the probabilities: those of one ciphertext where a mask is 1, and zeros where it is 0.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Which ciphertext of scores.
    pub ciphertext: usize,
    /// One number for every slot.
    pub mask: PlainVector,
}

/// How sums over the keys of a query leave the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumCrossing {
    /// Keys lie in so many slots of each half that differ by multiples of `slots / (2 copies)`: a sparse SlotsToCoeffs averages over them, without a
    /// rotation, and the half bootstrap returns the average to all of them.
    Copies(Copies),
    /// Keys lie otherwise: their sum is made by [`ScoreLayout::sum_over_keys`] and crosses in all of its places, so many copies of one value in each half.
    Rotations(Copies),
}

/// Where the scores of all heads lie. Ciphertexts of scores are numbered; those that share their denominators, a **set**, follow one
/// another.
pub trait ScoreLayout {
    /// What SoftMax must be prepared for.
    const CONTRACT: ScoreContract;

    /// Slots of a ciphertext.
    fn slots(&self) -> usize;
    /// Number of ciphertexts of each set.
    fn set_lengths(&self) -> Vec<usize>;
    /// Every live pair of a ciphertext of scores with its slot.
    fn live_pairs(&self, ciphertext: usize) -> Vec<(usize, LivePair)>;
    /// The sum over all keys of each head and query, over the ciphertexts of one set, which must be zero where no pair is live. It arrives
    /// where [`ScoreLayout::sum_plain`] is not zero, and wherever a live pair stands.
    ///
    /// # Errors
    /// If there is no ciphertext; those of the evaluator.
    fn sum_over_keys<E: Evaluator>(&self, e: &E, scores: &[E::Slots]) -> Result<E::Slots>;
    /// A plaintext over the slots of the sums of one set: `value` where sums of a head's keys arrive, zero elsewhere.
    fn sum_plain(&self, set: usize, value: f64) -> Vec<f64>;

    /// How sums over keys cross.
    fn sum_crossing(&self) -> SumCrossing;

    /// For each slot, 1 where sums over the keys of a query cross, and 0 otherwise.
    fn arrivals(&self, set: usize) -> PlainVector {
        let SumCrossing::Copies(copies) = self.sum_crossing() else { return self.sum_plain(set, 1.0).into() };
        let (slots, lengths) = (self.slots(), self.set_lengths());
        let (half, period) = (slots / 2, slots / 2 / copies.0);
        let first = lengths.iter().take(set).sum::<usize>();
        let mut used = vec![false; 2 * period];
        let residue = |slot: usize| slot / half * period + slot % period;
        for ciphertext in first..first + lengths.get(set).copied().unwrap_or(0) {
            self.live_pairs(ciphertext).into_iter().for_each(|(slot, _)| used[residue(slot)] = true);
        }
        (0..slots).map(|slot| if used[residue(slot)] { 1.0 } else { 0.0 }).collect::<Vec<_>>().into()
    }

    /// 1 at live pairs of a ciphertext of scores, zero elsewhere.
    fn live_mask(&self, ciphertext: usize) -> PlainVector {
        self.live_plain(ciphertext, |_| 1.0).into()
    }

    /// The first of so many copies, numbered through each half, in which no key lies from there on.
    fn blocks_in_use(&self, copies: Copies) -> usize {
        let half = self.slots() / 2;
        let period = half / copies.0;
        let last = |ciphertext| self.live_pairs(ciphertext).into_iter().map(|(slot, _)| slot % half / period + 1).max();
        (0..self.ciphertexts()).filter_map(last).max().unwrap_or(1)
    }

    /// The largest number of keys that a query attends to.
    fn most_keys(&self) -> usize {
        let mut keys: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for ciphertext in 0..self.ciphertexts() {
            let pairs = self.live_pairs(ciphertext);
            pairs.into_iter().for_each(|(_, pair)| *keys.entry((pair.head, pair.query)).or_default() += 1);
        }
        keys.into_values().max().unwrap_or(1)
    }

    /// A plaintext over the slots of a ciphertext of scores: `value` at live pairs, zero elsewhere.
    fn live_plain(&self, ciphertext: usize, value: impl Fn(LivePair) -> f64) -> Vec<f64> {
        let mut plain = vec![0.0; self.slots()];
        self.live_pairs(ciphertext).into_iter().for_each(|(slot, pair)| plain[slot] = value(pair));
        plain
    }

    /// Ciphertexts of scores.
    fn ciphertexts(&self) -> usize {
        self.set_lengths().iter().sum()
    }
}

impl ScoreLayout for SlotAttention {
    const CONTRACT: ScoreContract = ScoreContract::SLOTS;

    fn slots(&self) -> usize {
        self.heads().module().slots()
    }

    fn set_lengths(&self) -> Vec<usize> {
        let sets = self.heads().ciphertexts();
        vec![self.score_blocks().len() / sets; sets]
    }

    fn live_pairs(&self, ciphertext: usize) -> Vec<(usize, LivePair)> {
        let blocks: Vec<ScoreBlock> = self.score_blocks();
        blocks.get(ciphertext).map_or(Vec::new(), |block| self.live_pairs(block).collect())
    }

    fn sum_over_keys<E: Evaluator>(&self, e: &E, scores: &[E::Slots]) -> Result<E::Slots> {
        self.sum_over_keys(e, scores)
    }

    fn sum_plain(&self, set: usize, value: f64) -> Vec<f64> {
        self.sum_plain(set, value)
    }

    fn sum_crossing(&self) -> SumCrossing {
        let heads = self.heads();
        SumCrossing::Copies(Copies(heads.module().rows() / heads.heads_per_ciphertext()))
    }
}
