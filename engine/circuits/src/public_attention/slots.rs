//! The products in slots: diagonals of public keys and values.
//!
//! With `C` rows of channels or keys in a ciphertext, `x_g` the queries of channels `g`, and `[k]` the rotation that brings row `r + k` to
//! row `r`, the scores of the block of keys `b` and the outputs of channels `g` are
//!
//! ```text
//! S_b = sum_g sum_k  K_(b,g,k) * x_g[k]          row r of K_(b,g,k):  key b C + r, channel r + k of group g      -C < k < C
//! O_g = sum_k ( sum_b  V_(b,g,k) * P_b )[k]      row r of V_(b,g,k):  key b C + r, channel r - k of group g
//! ```
//!
//! and zero where the channel's row is none of `0..C`: rows that a rotation brings from elsewhere are not used. Rotations are taken
//! of the narrow side in both, about `2 C` for each ciphertext of queries and outputs. All blocks of keys share the rotated queries.
//!
//! **Keys of rotations.** With a key for each of the `2 C - 2` rotations, those of the queries, which are high, would be among the largest of a whole circuit. So an offset is a giant step and a baby step, `k = s a + b` with `s` about the root of `2 C`: as many rotations, of the queries a
//! few decompositions more, and `s + 2 C / s - 2` keys.
//!
//! **Which ring.** In complex slots, with the halves of the tokens as real and imaginary parts and rows above all, rotations would stay inside
//! the field of rows: `C` diagonals instead of `2 C - 1`. But every ciphertext of scores would have to be converted before the function that
//! follows and after it, two key switches and a level each time, and diagonals that depend on the highest slots are in no subring. In real slots the
//! half lies above the period, where rotations may carry what they like.
//!
//! **Where the time goes.** A diagonal is `period` slots of numbers, a product costs as much as one with a plaintext of the whole ring. With
//! 32 heads on 8 heads of keys, 128 tokens and 128 channels in a ring of degree 2^16 there are 16 rows and a period of 2^10 slots: 31 diagonals for each
//! block of 16 keys and each of 8 ciphertexts. The rotated queries, 248 ciphertexts, are resident; diagonals are not.

use fhe_ckks::{Evaluator, PeriodicMatrix};

use super::{KeyRows, PublicCache, PublicLayout};
use crate::attention::ScoreMap;
use crate::error::{Result, refuse};
use crate::total::{total, total_of};

/// Products of encrypted queries and probabilities with one public cache, in slots.
#[derive(Clone, Copy, Debug)]
pub struct SlotProducts<'a> {
    layout: &'a PublicLayout,
    cache: &'a PublicCache,
}

impl<'a> SlotProducts<'a> {
    /// Levels that the queries need for the scores.
    pub const SCORE_LEVELS: usize = 1;
    /// Levels that probabilities need for the outputs in the public layout; [`PublicLayout::collect_outputs`] takes another.
    pub const VALUE_LEVELS: usize = 1;

    /// Joins layout and cache.
    ///
    /// # Errors
    /// If they have other heads or channels.
    pub fn new(layout: &'a PublicLayout, cache: &'a PublicCache) -> Result<Self> {
        let (found, required) = ((cache.heads(), cache.head_dim()), (layout.key_heads(), layout.head_dim()));
        if found != required {
            let (found, required) = (format!("{found:?}"), format!("{required:?}"));
            let remedy = "make the layout for this model";
            return Err(refuse("SlotProducts::new", "heads and channels of the cache", found, required, remedy));
        }
        Ok(Self { layout, cache })
    }

    /// The layout.
    pub fn layout(&self) -> &'a PublicLayout {
        self.layout
    }

    /// Where the keys lie in the ciphertexts of scores.
    pub fn key_rows(&self) -> KeyRows {
        self.layout.key_rows(self.cache.length())
    }

    /// The offsets `k` between the rows of queries and keys.
    fn offsets(&self) -> std::ops::Range<i64> {
        let rows = self.layout.channel_rows() as i64;
        1 - rows..rows
    }

    /// The same offsets by giant steps: their rows, and the offsets that baby steps reach from there.
    fn giant_steps(&self) -> impl Iterator<Item = (i64, std::ops::Range<i64>)> + use<> {
        let offsets = self.offsets();
        let rows = offsets.end;
        // The root of the number of offsets, rounded up to a power of two.
        let step = 1 << (2 * rows).ilog2().div_ceil(2);
        let first = offsets.start.div_euclid(step) * step;
        (first..rows).step_by(step as usize).map(move |giant| {
            let babies = giant.max(offsets.start)..(giant + step).min(rows);
            (giant, babies)
        })
    }

    /// The row of channels that belongs to a row of keys at an offset, if any.
    fn channel_row(&self, row: usize, offset: i64) -> Option<usize> {
        usize::try_from(row as i64 + offset).ok().filter(|&row| row < self.layout.channel_rows())
    }

    /// Writes the plaintext with `entry(key_head, key, channel)` for the keys of a block and the channels of a ciphertext at an offset.
    fn diagonal(
        &self,
        numbers: &mut [f64],
        block: usize,
        ciphertext: usize,
        offset: i64,
        entry: impl Fn(usize, usize, usize) -> f64,
    ) {
        numbers.fill(0.0);
        for row in 0..self.layout.channel_rows() {
            let channel = self.channel_row(row, offset).and_then(|row| self.layout.channel(ciphertext, row));
            let Some(channel) = channel else { continue };
            let key = block * self.layout.channel_rows() + row;
            for key_head in 0..self.layout.key_heads() {
                numbers[self.layout.number(key_head, row)] = entry(key_head, key, channel);
            }
        }
    }

    fn matrix<'b>(&self, rows: usize, fill: &'b (dyn Fn(usize, usize, &mut [f64]) + Sync)) -> PeriodicMatrix<'b> {
        PeriodicMatrix { rows, run: self.layout.run(), numbers: self.layout.numbers(), fill }
    }

    /// All rotations of queries, in the public layout, that their products with keys need: offset after offset of each ciphertext.
    ///
    /// # Errors
    /// If there is another number of ciphertexts; those of the evaluator.
    pub fn rotate_queries<E: Evaluator>(&self, e: &E, queries: &[E::Slots]) -> Result<Vec<E::Slots>> {
        if queries.len() != self.layout.ciphertexts() {
            let remedy = "place the queries in this layout";
            return Err(refuse("rotate_queries", "ciphertexts", queries.len(), self.layout.ciphertexts(), remedy));
        }
        let by_rows = |rows| self.layout.module().rotate_rows(rows);
        let giants: Vec<_> = self.giant_steps().map(|(giant, _)| by_rows(giant)).collect();
        let mut rotated = Vec::with_capacity(queries.len() * self.offsets().count());
        for x in queries {
            for (x, (giant, offsets)) in e.rotate_hoisted(x, &giants)?.iter().zip(self.giant_steps()) {
                let babies: Vec<_> = offsets.map(|offset| by_rows(offset - giant)).collect();
                rotated.extend(e.rotate_hoisted(x, &babies)?);
            }
        }
        Ok(rotated)
    }

    /// `scale * (q . k) - centre` for every query and the keys of `blocks`, a ciphertext for each block; `padding` for keys that pad
    /// the last block, zero in idle slots. Takes rotated queries and [`SlotProducts::SCORE_LEVELS`] levels.
    ///
    /// # Errors
    /// If queries, blocks or centres are of another number; those of the evaluator.
    pub fn scores<E: Evaluator>(
        &self,
        e: &E,
        rotated: &[E::Slots],
        blocks: std::ops::Range<usize>,
        map: &ScoreMap,
        padding: f64,
    ) -> Result<Vec<E::Slots>> {
        const OPERATION: &str = "public scores";
        let offsets = self.offsets().count();
        let key_rows = self.key_rows();
        if rotated.len() != self.layout.ciphertexts() * offsets {
            let required = self.layout.ciphertexts() * offsets;
            return Err(refuse(OPERATION, "rotated queries", rotated.len(), required, "call rotate_queries first"));
        }
        if blocks.end > key_rows.blocks() {
            return Err(refuse(OPERATION, "last block", blocks.end, key_rows.blocks(), "ask for blocks that exist"));
        }
        if map.centres.len() != self.layout.heads() {
            let remedy = "calibrate this model";
            return Err(refuse(OPERATION, "centres", map.centres.len(), self.layout.heads(), remedy));
        }
        let fill = |row: usize, column: usize, numbers: &mut [f64]| {
            let offset = self.offsets().start + (column % offsets) as i64;
            self.diagonal(numbers, blocks.start + row, column / offsets, offset, |key_head, key, channel| {
                map.scale * self.cache.key(key_head, key, channel)
            });
        };
        let matrix = self.matrix(blocks.len(), &fill);
        let products = e.periodic_products(&rotated.iter().collect::<Vec<_>>(), &matrix)?;
        key_rows.shifted(e, blocks, &products, |block| {
            self.layout.plain(
                |head, row, _| {
                    if block * key_rows.rows + row < key_rows.keys { -map.centres[head] } else { padding }
                },
            )
        })
    }

    /// The sum over keys of probability times value, in the public layout: a ciphertext for each group of channels. Takes the
    /// probabilities in the layout of the scores and [`SlotProducts::VALUE_LEVELS`] levels; the values of keys that pad the last block
    /// are zero.
    ///
    /// # Errors
    /// If there is another number of ciphertexts; those of the evaluator.
    pub fn weighted_values<E: Evaluator>(&self, e: &E, probabilities: &[E::Slots]) -> Result<Vec<E::Slots>> {
        let blocks = self.layout.key_blocks(self.cache.length());
        if probabilities.len() != blocks {
            let remedy = "use the layout of the scores";
            return Err(refuse("public values", "ciphertexts", probabilities.len(), blocks, remedy));
        }
        let probabilities: Vec<&E::Slots> = probabilities.iter().collect();
        let moved = |x: &E::Slots, rows: i64| Ok(e.rotate(x, self.layout.module().rotate_rows(rows))?);
        let none = || refuse("public values", "offsets", 0, "at least one", "report this");
        let output = |ciphertext: usize| {
            let fill = |row: usize, block: usize, numbers: &mut [f64]| {
                let offset = self.offsets().start + row as i64;
                self.diagonal(numbers, block, ciphertext, -offset, |key_head, key, channel| {
                    self.cache.value(key_head, key, channel)
                });
            };
            let sums = e.periodic_products(&probabilities, &self.matrix(self.offsets().count(), &fill))?;
            let mut sums = sums.iter();
            let mut giants = Vec::new();
            for (giant, offsets) in self.giant_steps() {
                let babies = offsets.zip(&mut sums).map(|(offset, sum)| moved(sum, offset - giant));
                giants.push(moved(&total(e, babies)?.ok_or_else(none)?, giant)?);
            }
            total_of(e, &giants)?.ok_or_else(none)
        };
        (0..self.layout.ciphertexts()).map(output).collect()
    }
}
