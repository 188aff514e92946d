//! Scores with a cache as SoftMax sees them.

use fhe_ckks::{Evaluator, PlainVector};

use super::CacheLayout;
use crate::attention::LivePair;
use crate::error::Result;
use crate::score_layout::{ScoreContract, ScoreLayout, SumCrossing};

/// Scores of one token's queries with the tokens of a cache, which it attends to all of.
///
/// Probabilities come selected, with the levels of [`CacheLayout::weighted_values`] and of the move behind it, or, where a sum's window is too wide for the
/// levels that this leaves, end all levels and cross once more: they are few.
#[derive(Clone, Debug)]
pub struct CachedScores<const CROSSING: bool> {
    layout: CacheLayout,
    length: usize,
}

impl CacheLayout {
    /// The scores with so many cached tokens.
    pub fn scores_of<const CROSSING: bool>(&self, length: usize) -> CachedScores<CROSSING> {
        CachedScores { layout: self.clone(), length }
    }
}

impl<const CROSSING: bool> CachedScores<CROSSING> {
    const OUTPUT_LEVELS: usize = if CROSSING { 0 } else { CacheLayout::VALUE_LEVELS + CacheLayout::PLACEMENT_LEVELS };
    const SELECTION_LEVELS: usize = if CROSSING { 0 } else { CacheLayout::SELECTION_LEVELS };
}

/// Denominators are those of the heads, common to all ciphertexts: these are one set. Sums over tokens, the lowest field of slots, take rotations
/// and a mask; they stand wherever a score of their head may, cached or not.
impl<const CROSSING: bool> ScoreLayout for CachedScores<CROSSING> {
    const CONTRACT: ScoreContract = ScoreContract {
        opening_levels: 0,
        sum_levels: 1,
        output_levels: Self::OUTPUT_LEVELS,
        selection_levels: Self::SELECTION_LEVELS,
        scores_of_all_pairs: false,
    };

    fn slots(&self) -> usize {
        self.layout.slots
    }

    fn set_lengths(&self) -> Vec<usize> {
        vec![self.layout.score_ciphertexts(self.length)]
    }

    /// The query is that of position 0.
    fn live_pairs(&self, ciphertext: usize) -> Vec<(usize, LivePair)> {
        let pairs = (0..self.layout.heads).flat_map(|head| (0..self.length).map(move |key| (head, key)));
        let places = pairs.flat_map(|(head, key)| {
            let pair = LivePair { head, query: 0, key };
            self.layout.score_places(self.length, head, key).map(move |place| (place, pair))
        });
        places.filter(|(place, _)| place.ciphertext == ciphertext).map(|(place, pair)| (place.slot, pair)).collect()
    }

    fn sum_over_keys<E: Evaluator>(&self, e: &E, scores: &[E::Slots]) -> Result<E::Slots> {
        self.layout.sum_over_keys(e, scores, self.length)
    }

    fn sum_plain(&self, _set: usize, value: f64) -> Vec<f64> {
        self.layout.masks(self.length).sums.scaled(value).numbers().collect()
    }

    /// Sums repeat in every group of rows.
    fn sum_crossing(&self) -> SumCrossing {
        SumCrossing::Rotations(self.layout.copies_of_rows(self.layout.group_rows()))
    }

    fn live_mask(&self, ciphertext: usize) -> PlainVector {
        self.layout.masks(self.length).scores[ciphertext].clone()
    }

    fn arrivals(&self, _set: usize) -> PlainVector {
        self.layout.masks(self.length).sums.clone()
    }

    fn most_keys(&self) -> usize {
        self.length
    }
}
