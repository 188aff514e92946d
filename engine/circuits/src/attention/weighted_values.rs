//! Weighted values: the products of probabilities and values.

use std::collections::BTreeMap;

use fhe_ckks::{Evaluator, Rotation};

use super::{Movable, ScoreBlock, SlotAttention};
use crate::error::{Result, refuse};

impl SlotAttention {
    /// Levels that the probabilities need for [`SlotAttention::weighted_values`]: selection and product.
    pub const PROBABILITY_LEVELS: usize = 2;
    /// Levels that the values need: the product.
    pub const VALUE_LEVELS: usize = 1;

    /// The sum over keys of probability times value, in the layout of the heads; replicas hold partial sums.
    /// Probabilities, in the layout of the scores, must be zero where no pair is live.
    ///
    /// # Errors
    /// If an operand has another number of ciphertexts; those of the evaluator.
    pub fn weighted_values<E: Evaluator>(
        &self,
        e: &E,
        probabilities: &[E::Slots],
        values: &Movable<E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let blocks = self.score_blocks();
        if probabilities.len() != blocks.len() || values.delayed.len() != self.heads.ciphertexts() {
            let found = format!("{} and {}", probabilities.len(), values.delayed.len());
            let required = format!("{} and {}", blocks.len(), self.heads.ciphertexts());
            let remedy = "use the layouts of scores and heads";
            return Err(refuse("weighted_values", "ciphertexts", found, required, remedy));
        }
        let mut outputs = Vec::with_capacity(self.heads.ciphertexts());
        for head_ciphertext in 0..self.heads.ciphertexts() {
            let moved = self.moved(e, values, head_ciphertext)?;
            let mut sum: Option<E::Slots> = None;
            let own = blocks.iter().zip(probabilities).filter(|(block, _)| block.head_ciphertext == head_ciphertext);
            for (block, probabilities) in own {
                let shifted = self.shifted_by_groups(e, block, probabilities)?;
                for (row, step) in self.steps(block).iter().enumerate() {
                    let spread = self.spread_row(e, block, &shifted, row)?;
                    let product = e.multiply(&spread, &moved[step])?;
                    sum = Some(match sum {
                        None => product,
                        Some(sum) => e.add(&sum, &product)?,
                    });
                }
            }
            let sum = sum.ok_or_else(|| refuse("weighted_values", "steps", 0, "at least one", "let queries attend"));
            outputs.push(sum?);
        }
        Ok(outputs)
    }

    /// The argument with its channel rows so many groups further, for every number that brings a row in use into another
    /// group.
    fn shifted_by_groups<E: Evaluator>(
        &self,
        e: &E,
        block: &ScoreBlock,
        x: &E::Slots,
    ) -> Result<BTreeMap<i64, E::Slots>> {
        let away = self.groups_away(block.steps);
        let rotations: Vec<Rotation> = away.clone().map(|groups| self.rotate_groups(-groups)).collect();
        Ok(away.zip(e.rotate_hoisted(x, &rotations)?).collect())
    }

    /// Channel row `row` in all channel rows: masks put it once into every group, rotations fill the groups. One level.
    fn spread_row<E: Evaluator>(
        &self,
        e: &E,
        block: &ScoreBlock,
        shifted: &BTreeMap<i64, E::Slots>,
        row: usize,
    ) -> Result<E::Slots> {
        let mask =
            |row: usize| self.heads.plain(block.head_ciphertext, |entry| (entry.channel_row == row).then_some(1.0));
        let masked = |(&away, x)| Some((x, mask(self.row_away(row, away)?)));
        let masked: Vec<(&E::Slots, Vec<f64>)> = shifted.iter().filter_map(masked).collect();
        let terms: Vec<_> = masked.iter().map(|(x, mask)| (*x, mask.as_slice())).collect();
        // The filled row of a group is at most this far before any other.
        let group = self.channel_group();
        self.group_window(group - 1 - row % group).sum(e, self.heads.module(), e.plain_combination(&terms)?)
    }
}
