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

    /// The argument moved by every number of groups of channel rows that brings a row in use into another group.
    fn shifted_by_groups<E: Evaluator>(
        &self,
        e: &E,
        block: &ScoreBlock,
        x: &E::Slots,
    ) -> Result<BTreeMap<i64, E::Slots>> {
        let groups = (self.heads.channel_rows() / self.channel_group()) as i64;
        let last = ((block.steps - 1) / self.channel_group()) as i64;
        let away: Vec<i64> = (1 - groups..=last).collect();
        let rotations: Vec<Rotation> = away.iter().map(|&groups| self.rotate_groups(groups)).collect();
        Ok(away.into_iter().zip(e.rotate_hoisted(x, &rotations)?).collect())
    }

    /// Channel row `row` in all channel rows: masks put it once into every group, rotations fill the groups. One level.
    fn spread_row<E: Evaluator>(
        &self,
        e: &E,
        block: &ScoreBlock,
        shifted: &BTreeMap<i64, E::Slots>,
        row: usize,
    ) -> Result<E::Slots> {
        let group = self.channel_group();
        let (own, place) = (row / group, row % group);
        let masks: Vec<(i64, Vec<f64>)> = (0..self.heads.channel_rows() / group)
            .map(|index| {
                let target = index * group + place;
                let mask =
                    self.heads.plain(block.head_ciphertext, |entry| (entry.channel_row == target).then_some(1.0));
                (own as i64 - index as i64, mask)
            })
            .collect();
        let terms: Vec<_> = masks.iter().map(|(away, mask)| (&shifted[away], mask.as_slice())).collect();
        // Every row of a group looks back, or ahead, to the one that is filled.
        self.group_window(group - 1 - place).sum(e, self.heads.module(), e.plain_combination(&terms)?)
    }
}
