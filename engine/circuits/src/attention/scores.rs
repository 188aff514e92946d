//! Scores: the products of queries and keys.

use std::collections::BTreeMap;

use fhe_ckks::{Evaluator, Rotation};

use super::{Movable, ScoreBlock, SlotAttention};
use crate::crossing::Halves;
use crate::error::{CircuitError, Result, refuse};

/// Affine map of `q . k` to what the slots of a score ciphertext hold.
#[derive(Clone, Debug)]
pub struct ScoreMap {
    /// Factor of every score.
    pub scale: f64,
    /// Subtracted afterwards, one number per query head.
    pub centres: Vec<f64>,
}

/// Keys or values by the first offset at which queries meet them.
pub(super) type Moved<S> = BTreeMap<i64, S>;

impl SlotAttention {
    /// Levels that the queries and keys need for [`SlotAttention::scores`]: product and mask.
    pub const SCORE_LEVELS: usize = 2;

    /// `scale * (q . k) - centre` for every live pair, zero elsewhere: one slot ciphertext per [`ScoreBlock`] in the
    /// order of [`SlotAttention::score_blocks`]. Consumes [`SlotAttention::SCORE_LEVELS`] levels.
    ///
    /// Step `m` of a block is wanted in channel row `m` alone, as the sum over all channel rows of one product. That
    /// sum is linear: groups of channel rows are summed by rotations of each product, masks pick the wanted row of each
    /// group out of all steps at once, and the groups are brought together by rotating the few combinations.
    ///
    /// # Errors
    /// If operands or map do not have the layout's heads; those of the evaluator.
    pub fn scores<E: Evaluator>(
        &self,
        e: &E,
        queries: &[Halves<E::Slots>],
        keys: &Movable<E::Slots>,
        map: &ScoreMap,
    ) -> Result<Vec<E::Slots>> {
        let ciphertexts = self.heads.ciphertexts();
        for operand in [queries.len(), keys.delayed.len()] {
            if operand != ciphertexts {
                let remedy = "use the layout of the heads";
                return Err(refuse("scores", "ciphertexts", operand, ciphertexts, remedy));
            }
        }
        if map.centres.len() != self.heads.heads() {
            let remedy = "calibrate this model";
            return Err(refuse("scores", "centres", map.centres.len(), self.heads.heads(), remedy));
        }
        let blocks = self.score_blocks();
        let mut scores = Vec::with_capacity(blocks.len());
        for (ciphertext, queries) in queries.iter().enumerate() {
            let moved = [self.moved(e, keys, ciphertext, 0)?, self.moved(e, keys, ciphertext, 1)?];
            for block in blocks.iter().filter(|block| block.head_ciphertext == ciphertext) {
                scores.push(self.block_scores(e, block, &queries[block.half], &moved, map)?);
            }
        }
        Ok(scores)
    }

    /// Keys or values of one half as they are met at every first offset of the schedule.
    pub(super) fn moved<E: Evaluator>(
        &self,
        e: &E,
        x: &Movable<E::Slots>,
        ciphertext: usize,
        half: usize,
    ) -> Result<Moved<E::Slots>> {
        let advanced = x.advanced[ciphertext][half].as_ref();
        let (before, after): (Vec<i64>, Vec<i64>) =
            self.schedule.first_offsets(half).into_iter().partition(|&offset| offset < 0 && advanced.is_some());
        let mut moved = Moved::new();
        let mut rotate = |x: &E::Slots, offsets: Vec<i64>, already: usize| {
            let rotations: Vec<Rotation> = offsets.iter().map(|offset| Rotation(-offset - already as i64)).collect();
            moved.extend(offsets.into_iter().zip(e.rotate_hoisted(x, &rotations)?));
            Ok::<_, CircuitError>(())
        };
        rotate(&x.delayed[ciphertext][half], after, 0)?;
        if let Some(advanced) = advanced {
            rotate(advanced, before, self.schedule.replicas())?;
        }
        Ok(moved)
    }

    fn block_scores<E: Evaluator>(
        &self,
        e: &E,
        block: &ScoreBlock,
        queries: &E::Slots,
        moved: &[Moved<E::Slots>; 2],
        map: &ScoreMap,
    ) -> Result<E::Slots> {
        let steps = &self.schedule.steps(block.half)[block.first_step..block.first_step + block.steps];
        let mut products = Vec::with_capacity(steps.len());
        for step in steps {
            let keys = &moved[step.key_half][&step.first_offset];
            products.push(self.sum_channel_group(e, e.multiply(queries, keys)?)?);
        }
        let masked = self.collect_groups(e, &products, &self.score_plain(block, |_| map.scale))?;
        Ok(e.add_plain(&masked, &self.score_plain(block, |pair| -map.centres[pair.head]))?)
    }

    /// Channel row `c` becomes the sum of rows `c, c + 1, ...` of its group's length, cyclically.
    pub(super) fn sum_channel_group<E: Evaluator>(&self, e: &E, mut x: E::Slots) -> Result<E::Slots> {
        let mut rows = 1;
        while rows < self.channel_group() {
            let rotation = self.heads.module().rotate_rows(rows * self.heads.rows_per_channel());
            x = e.add(&x, &e.rotate(&x, rotation)?)?;
            rows *= 2;
        }
        Ok(x)
    }

    /// Channel row `m` of the result: the sum over all groups of product `m`, times the plaintext.
    fn collect_groups<E: Evaluator>(&self, e: &E, products: &[E::Slots], plain: &[f64]) -> Result<E::Slots> {
        let (rows, group) = (self.heads.channel_rows(), self.channel_group());
        let mut sum: Option<E::Slots> = None;
        for shift in (0..rows).step_by(group) {
            let masks: Vec<Vec<f64>> = (0..products.len()).map(|m| self.moved_row(plain, m, shift)).collect();
            let terms: Vec<_> = products.iter().zip(&masks).map(|(x, mask)| (x, mask.as_slice())).collect();
            let rotation = self.heads.module().rotate_rows(shift * self.heads.rows_per_channel());
            let part = e.rotate(&e.plain_combination(&terms)?, rotation)?;
            sum = Some(match sum {
                None => part,
                Some(sum) => e.add(&sum, &part)?,
            });
        }
        sum.ok_or_else(|| refuse("scores", "steps", 0, "at least one", "let every query attend to itself"))
    }

    /// Channel row `m` of a plaintext moved `shift` channel rows up, zero elsewhere.
    fn moved_row(&self, plain: &[f64], m: usize, shift: usize) -> Vec<f64> {
        let length = plain.len() / self.heads.channel_rows();
        let target = (m + shift) % self.heads.channel_rows();
        let mut moved = vec![0.0; plain.len()];
        moved[target * length..][..length].copy_from_slice(&plain[m * length..][..length]);
        moved
    }
}
