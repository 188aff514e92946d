//! Scores: the products of queries and keys.

use std::collections::BTreeMap;

use fhe_ckks::{Evaluator, Rotation};

use super::{KeyStep, Movable, ScoreBlock, SlotAttention};
use crate::error::{CircuitError, Result, refuse};
use crate::total::total;

/// Affine map of `q . k` to what the slots of a score ciphertext hold.
#[derive(Clone, Debug)]
pub struct ScoreMap {
    /// Factor of every score.
    pub scale: f64,
    /// Subtracted afterwards, one number per query head.
    pub centres: Vec<f64>,
}

/// Keys or values as they are met in every step of the schedule.
pub(super) type Moved<S> = BTreeMap<KeyStep, S>;

impl SlotAttention {
    /// Levels that the queries and keys need for [`SlotAttention::scores`]: product and mask.
    pub const SCORE_LEVELS: usize = 2;

    /// `scale * (q . k) - centre` for every live pair, zero elsewhere: one slot ciphertext per [`ScoreBlock`] in the
    /// order of [`SlotAttention::score_blocks`]. Consumes [`SlotAttention::SCORE_LEVELS`] levels.
    ///
    /// Step `m` of a block is wanted in channel row `m` alone, as the sum over all channel rows of one product. That
    /// sum is linear: rotations of each product sum every group of channel rows in the row of the group that is `m` modulo
    /// its length, masks pick these rows out of all steps by the number of groups they are away from `m`, and few
    /// rotations bring the combinations together.
    ///
    /// # Errors
    /// If operands or map do not have the layout's heads; those of the evaluator.
    pub fn scores<E: Evaluator>(
        &self,
        e: &E,
        queries: &[E::Slots],
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
            let moved = self.moved(e, keys, ciphertext)?;
            for block in blocks.iter().filter(|block| block.head_ciphertext == ciphertext) {
                scores.push(self.block_scores(e, block, queries, &moved, map)?);
            }
        }
        Ok(scores)
    }

    /// Keys or values of one ciphertext of heads as they are met in every step.
    pub(super) fn moved<E: Evaluator>(
        &self,
        e: &E,
        x: &Movable<E::Slots>,
        ciphertext: usize,
    ) -> Result<Moved<E::Slots>> {
        let advanced = x.advanced.get(ciphertext);
        let (early, late): (Vec<KeyStep>, Vec<KeyStep>) =
            self.schedule.steps().iter().partition(|step| step.first_offset < 0 && advanced.is_some());
        let mut moved = Moved::new();
        let mut rotate = |x: &E::Slots, steps: Vec<KeyStep>, already: usize| {
            let rotation = |step: &KeyStep| {
                let Rotation(swap) = self.heads.module().swap_halves();
                Rotation(if step.swapped { swap } else { 0 } - step.first_offset - already as i64)
            };
            let rotations: Vec<Rotation> = steps.iter().map(rotation).collect();
            moved.extend(steps.into_iter().zip(e.rotate_hoisted(x, &rotations)?));
            Ok::<_, CircuitError>(())
        };
        rotate(&x.delayed[ciphertext], late, 0)?;
        if let Some(advanced) = advanced {
            rotate(advanced, early, self.schedule.replicas())?;
        }
        Ok(moved)
    }

    fn block_scores<E: Evaluator>(
        &self,
        e: &E,
        block: &ScoreBlock,
        queries: &E::Slots,
        moved: &Moved<E::Slots>,
        map: &ScoreMap,
    ) -> Result<E::Slots> {
        let mut products = Vec::with_capacity(block.steps);
        for (row, step) in self.steps(block).iter().enumerate() {
            let window = self.group_window(row % self.channel_group());
            products.push(window.sum(e, self.heads.module(), e.multiply(queries, &moved[step])?)?);
        }
        let masked = self.collect_groups(e, &products, &self.score_plain(block, |_| map.scale))?;
        Ok(e.add_plain(&masked, &self.score_plain(block, |pair| -map.centres[pair.head]))?)
    }

    /// Channel row `m` of the result: the sum over all groups of product `m`, times the plaintext.
    fn collect_groups<E: Evaluator>(&self, e: &E, products: &[E::Slots], plain: &[f64]) -> Result<E::Slots> {
        let from_away = |away| {
            let place = |m: usize| Some((m, self.moved_row(plain, m, self.row_away(m, away)?)));
            let masks: Vec<(usize, Vec<f64>)> = (0..products.len()).filter_map(place).collect();
            let terms: Vec<_> = masks.iter().map(|(m, mask)| (&products[*m], mask.as_slice())).collect();
            Ok(e.rotate(&e.plain_combination(&terms)?, self.rotate_groups(away))?)
        };
        let sum = total(e, self.groups_away(products.len()).map(from_away))?;
        sum.ok_or_else(|| refuse("scores", "steps", 0, "at least one", "let every query attend to itself"))
    }

    /// Channel row `from` of a plaintext, both halves, in channel row `to`; zero elsewhere.
    fn moved_row(&self, plain: &[f64], from: usize, to: usize) -> Vec<f64> {
        let length = plain.len() / 2 / self.heads.channel_rows();
        let mut moved = vec![0.0; plain.len()];
        for half in [0, plain.len() / 2] {
            moved[half + to * length..][..length].copy_from_slice(&plain[half + from * length..][..length]);
        }
        moved
    }
}
