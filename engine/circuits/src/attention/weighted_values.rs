//! Weighted values: the products of probabilities and values.

use fhe_ckks::{Evaluator, Rotation};

use super::{Movable, ScoreBlock, SlotAttention};
use crate::crossing::Halves;
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
    ) -> Result<Vec<Halves<E::Slots>>> {
        let blocks = self.score_blocks();
        if probabilities.len() != blocks.len() || values.delayed.len() != self.heads.ciphertexts() {
            let found = format!("{} and {}", probabilities.len(), values.delayed.len());
            let required = format!("{} and {}", blocks.len(), self.heads.ciphertexts());
            let remedy = "use the layouts of scores and heads";
            return Err(refuse("weighted_values", "ciphertexts", found, required, remedy));
        }
        let mut outputs = Vec::with_capacity(self.heads.ciphertexts());
        for head_ciphertext in 0..self.heads.ciphertexts() {
            let moved = [self.moved(e, values, head_ciphertext, 0)?, self.moved(e, values, head_ciphertext, 1)?];
            let sum = |half: usize| {
                let mut sum: Option<E::Slots> = None;
                let own = |block: &ScoreBlock| block.half == half && block.head_ciphertext == head_ciphertext;
                for (block, probabilities) in blocks.iter().zip(probabilities).filter(|(block, _)| own(block)) {
                    let groups = self.rotated_by_groups(e, probabilities)?;
                    for step in 0..block.steps {
                        let key_step = self.schedule.steps(half)[block.first_step + step];
                        let spread = self.spread_row(e, block, &groups, step)?;
                        let product = e.multiply(&spread, &moved[key_step.key_half][&key_step.first_offset])?;
                        sum = Some(match sum {
                            None => product,
                            Some(sum) => e.add(&sum, &product)?,
                        });
                    }
                }
                sum.ok_or_else(|| refuse("weighted_values", "steps", 0, "at least one", "let queries attend"))
            };
            outputs.push([sum(0)?, sum(1)?]);
        }
        Ok(outputs)
    }

    /// The argument rotated by every multiple of the group length of channel rows.
    fn rotated_by_groups<E: Evaluator>(&self, e: &E, x: &E::Slots) -> Result<Vec<E::Slots>> {
        let rows = (0..self.heads.channel_rows()).step_by(self.channel_group());
        let rotations: Vec<Rotation> =
            rows.map(|rows| self.heads.module().rotate_rows(rows * self.heads.rows_per_channel())).collect();
        Ok(e.rotate_hoisted(x, &rotations)?)
    }

    /// Channel row `row` in all channel rows: masks put it once into every group, rotations fill the groups. One level.
    fn spread_row<E: Evaluator>(&self, e: &E, block: &ScoreBlock, groups: &[E::Slots], row: usize) -> Result<E::Slots> {
        let (rows, group) = (self.heads.channel_rows(), self.channel_group());
        let masks: Vec<Vec<f64>> = (0..groups.len())
            .map(|index| {
                let target = (row + rows - index * group) % rows;
                self.heads.plain(block.head_ciphertext, |entry| (entry.channel_row == target).then_some(1.0))
            })
            .collect();
        let terms: Vec<_> = groups.iter().zip(&masks).map(|(x, mask)| (x, mask.as_slice())).collect();
        self.sum_channel_group(e, e.plain_combination(&terms)?)
    }
}
