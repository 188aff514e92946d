//! The rows of keys of a ciphertext of scores, and sums over them.

use std::ops::Range;

use fhe_ckks::{Evaluator, PlainVector};

use crate::error::{CircuitError, Result, refuse};
use crate::layout::{RowModule, bit_reverse};
use crate::total::total_of;
use crate::window::Window;

/// Where the keys of a block lie in the ciphertexts of its scores: in `rows` rows of slots, `stride` rows apart.
#[derive(Clone, Debug)]
pub struct KeyRows {
    pub(super) module: RowModule,
    /// Rows of slots from one key to the next.
    pub(super) stride: usize,
    /// Keys of a block.
    pub(super) rows: usize,
    /// Keys of all blocks.
    pub(super) keys: usize,
    /// Whether the bits of a key's row are reversed among the rows of slots.
    pub(super) reversed: bool,
    /// 1 in the slots of all query heads and all keys of a block, 0 in idle ones.
    pub(super) live: PlainVector,
}

impl KeyRows {
    /// Blocks of keys.
    pub fn blocks(&self) -> usize {
        self.keys.div_ceil(self.rows)
    }

    /// Row of a slot among the keys of its block.
    pub fn row(&self, slot: usize) -> usize {
        let row = self.module.slot_row(slot) / self.stride % self.rows;
        if self.reversed { bit_reverse(row, self.rows) } else { row }
    }

    /// Whether no key pads a block.
    pub fn is_full(&self, block: usize) -> bool {
        (block + 1) * self.rows <= self.keys
    }

    /// 1 in the slots of keys of a block, 0 in idle ones and in those of keys that pad the last block.
    pub fn mask(&self, block: usize) -> PlainVector {
        let keys = self.keys.saturating_sub(block * self.rows);
        if self.is_full(block) { self.live.clone() } else { self.live_rows(keys) }
    }

    /// The same with the first rows of keys alone.
    fn live_rows(&self, rows: usize) -> PlainVector {
        let masked = |(slot, live): (usize, f64)| if self.row(slot) < rows { live } else { 0.0 };
        self.live.numbers().enumerate().map(masked).collect::<Vec<_>>().into()
    }

    /// Whether keys pad the last block.
    pub fn is_padded(&self) -> bool {
        !self.keys.is_multiple_of(self.rows)
    }

    /// Adds what `shift` says for each of some blocks; it is the same for all full ones, and encoded once for them.
    pub(super) fn shifted<E: Evaluator>(
        &self,
        e: &E,
        blocks: Range<usize>,
        scores: &[E::Slots],
        shift: impl Fn(usize) -> Vec<f64>,
    ) -> Result<Vec<E::Slots>> {
        let Some(first) = scores.first() else { return Ok(Vec::new()) };
        let encoded = |block: usize| {
            let shift = shift(block);
            let moves = shift.iter().any(|&shift| shift != 0.0);
            Ok::<_, CircuitError>(if moves { Some(e.add_plain(&e.subtract(first, first)?, &shift)?) } else { None })
        };
        let full = blocks.clone().find(|&block| self.is_full(block)).map(encoded).transpose()?.flatten();
        let add = |(block, score): (usize, &E::Slots)| {
            let own = if self.is_full(block) { None } else { encoded(block)? };
            let shift = if self.is_full(block) { &full } else { &own };
            Ok(shift.as_ref().map(|shift| e.add(score, shift)).transpose()?.unwrap_or_else(|| score.clone()))
        };
        blocks.zip(scores).map(add).collect()
    }

    /// Levels that [`KeyRows::normaliser`] takes: a mask on the sum, and one on the last block before it if keys pad it.
    pub fn normaliser_levels(&self) -> usize {
        1 + usize::from(self.is_padded())
    }

    /// The sum over all public keys of what stands in the slots of their scores: for every query head and token, in the rows of all
    /// keys of its block; zero in idle slots. Takes [`KeyRows::normaliser_levels`] levels, and of rotations twice the binary logarithm
    /// of the keys of a block.
    ///
    /// # Errors
    /// If there is not one ciphertext for each block; those of the evaluator.
    pub fn normaliser<E: Evaluator>(&self, e: &E, blocks: &[E::Slots]) -> Result<E::Slots> {
        let (last, others) = match blocks.split_last() {
            Some(split) if blocks.len() == self.blocks() => split,
            _ => {
                let remedy = "use the layout of the scores";
                return Err(refuse("normaliser", "ciphertexts", blocks.len(), self.blocks(), remedy));
            }
        };
        let last = match self.is_padded() {
            true => e.plain_combination(&[(last, &self.mask(self.blocks() - 1))])?,
            false => last.clone(),
        };
        let sum = match total_of(e, others)? {
            Some(sum) => e.add(&sum, &last)?,
            None => last,
        };
        let gathered = self.gather(e, sum)?;
        self.spread(e, e.plain_combination(&[(&gathered, &self.live_rows(1))])?)
    }

    /// Sums over the keys of a block where its first one lies; anything elsewhere. No level, a rotation for each factor of two.
    pub(super) fn gather<E: Evaluator>(&self, e: &E, x: E::Slots) -> Result<E::Slots> {
        // From the first row on a window meets all keys of the block.
        Window { stride: self.stride, length: self.rows, before: 0 }.sum(e, self.module, x)
    }

    /// What stands where the first key of a block lies, and zeros elsewhere, in the rows of all its keys. As [`KeyRows::gather`].
    pub(super) fn spread<E: Evaluator>(&self, e: &E, x: E::Slots) -> Result<E::Slots> {
        Window { stride: self.stride, length: self.rows, before: self.rows - 1 }.sum(e, self.module, x)
    }
}
