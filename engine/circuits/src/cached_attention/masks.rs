//! Plaintexts of attention to a cache, which depend on the number of its tokens alone: all layers of a step share them.

use std::convert::Infallible;
use std::sync::Arc;

use fhe_ckks::PlainVector;

use super::CacheLayout;
use crate::score_layout::Selection;

/// The masks of so many cached tokens.
#[derive(Debug)]
pub(super) struct CacheMasks {
    /// For every member of a group, one in its token of every row.
    pub(super) members: Vec<PlainVector>,
    /// For every member, ciphertext by ciphertext of keys, its row of scores in every block of rows: one where there is a score.
    pub(super) rows: Vec<ScoreRow>,
    /// For every ciphertext of scores, one in the place of every score.
    pub(super) scores: Vec<PlainVector>,
    /// One wherever a sum over tokens is that of a head.
    pub(super) sums: PlainVector,
}

/// A row of scores.
#[derive(Debug)]
pub(super) struct ScoreRow {
    /// Its number over all ciphertexts.
    pub(super) row: usize,
    pub(super) selection: Selection,
}

impl CacheLayout {
    /// The masks of so many cached tokens; those of the last number are kept.
    pub(super) fn masks(&self, length: usize) -> Arc<CacheMasks> {
        let Ok(masks) = self.masks.of(length, || Ok::<_, Infallible>(self.masks_of(length)));
        masks
    }

    fn masks_of(&self, length: usize) -> CacheMasks {
        let used = self.used_rows(length);
        let scores = (0..self.score_ciphertexts(length)).map(|number| self.score_plain(length, number, |_| 1.0));
        let scores: Vec<Vec<f64>> = scores.collect();
        let row = |(member, number): (usize, usize)| {
            let row = number * self.group_rows() + member;
            let ciphertext = row / self.channel_rows;
            let mask = self.row_of_blocks(&scores[ciphertext], row % used, used).into();
            ScoreRow { row, selection: Selection { ciphertext, mask } }
        };
        let ciphertexts = length.div_ceil(self.tokens);
        let rows = (0..self.group()).flat_map(|member| (0..ciphertexts).map(move |number| (member, number)));
        let rows = rows.map(row).collect();
        let has_sum = |slot: usize| {
            let (row, head) = (slot / self.row(), slot / self.tokens % self.head_rows);
            row % self.group_rows() < self.group() && head < self.key_value_heads
        };
        CacheMasks {
            members: (0..self.group()).map(|member| self.mask(|slot| slot % self.tokens == member)).collect(),
            rows,
            scores: scores.into_iter().map(PlainVector::from).collect(),
            sums: self.mask(has_sum),
        }
    }

    /// One in some slots, zero in the others.
    fn mask(&self, is_one: impl Fn(usize) -> bool) -> PlainVector {
        (0..self.slots).map(|slot| f64::from(u8::from(is_one(slot)))).collect::<Vec<_>>().into()
    }

    /// The same row of every block of `used` rows of a plaintext, zero elsewhere.
    fn row_of_blocks(&self, plain: &[f64], row: usize, used: usize) -> Vec<f64> {
        let kept = |(slot, &value): (usize, &f64)| if slot / self.row() % used == row { value } else { 0.0 };
        plain.iter().enumerate().map(kept).collect()
    }
}
