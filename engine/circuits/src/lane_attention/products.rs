//! The two products of attention.

use fhe_ckks::LaneProducts;

use super::LaneAttention;
use crate::error::{Result, refuse};

impl LaneAttention {
    /// The scores `Q K^T` of every head as coefficients: for each set of heads the ciphertexts of its keys, in lanes. `units` are those of queries and
    /// keys as factors; the unit of the result is their product divided by the shape's `lane_divisor`.
    ///
    /// # Errors
    /// If an operand has another number of ciphertexts; those of the evaluator.
    pub fn scores<E: LaneProducts>(
        &self,
        e: &E,
        queries: &[E::Slots],
        keys: &[E::Slots],
        units: [f64; 2],
    ) -> Result<Vec<E::Coefficients>> {
        const OPERATION: &str = "scores";
        let layout = &self.layout;
        check_number(OPERATION, "query ciphertexts", queries.len(), layout.sets() * layout.query_ciphertexts())?;
        check_number(OPERATION, "key ciphertexts", keys.len(), layout.key_sets() * layout.key_copies().len())?;
        let mut scores = Vec::new();
        for (key_set, keys) in keys.chunks(layout.key_copies().len()).enumerate() {
            let keys = self.key_factors(e, keys, units[1])?;
            for query_set in 0..layout.query_sets() {
                let first = (key_set * layout.query_sets() + query_set) * layout.query_ciphertexts();
                let queries = &queries[first..first + layout.query_ciphertexts()];
                let queries = self.paired_factors(e, queries, layout.head_dim(), units[0])?;
                let columns = e.multiply_lanes(
                    &queries.iter().collect::<Vec<_>>(),
                    &keys.iter().collect::<Vec<_>>(),
                    layout.lanes(),
                    layout.module().tokens(),
                )?;
                scores.extend(self.joined(e, &columns)?);
            }
        }
        Ok(scores)
    }

    /// The weighted values `P V` of every head as coefficients: for each set of heads the ciphertexts of its channels, in lanes. Probabilities lie like
    /// opened scores; `units` are those of probabilities and values.
    ///
    /// # Errors
    /// As [`LaneAttention::scores`].
    pub fn weighted_values<E: LaneProducts>(
        &self,
        e: &E,
        probabilities: &[E::Slots],
        values: &[E::Slots],
        units: [f64; 2],
    ) -> Result<Vec<E::Coefficients>> {
        const OPERATION: &str = "weighted_values";
        let layout = &self.layout;
        let tokens = layout.module().tokens();
        let required = layout.sets() * layout.score_ciphertexts();
        check_number(OPERATION, "probability ciphertexts", probabilities.len(), required)?;
        check_number(OPERATION, "value ciphertexts", values.len(), layout.key_sets() * layout.key_copies().len())?;
        let mut outputs = Vec::new();
        for (key_set, values) in values.chunks(layout.key_copies().len()).enumerate() {
            let values = self.key_factors(e, values, units[1])?;
            // A head of more channels than there are rows is worked on in blocks.
            let blocks = (values.chunks(tokens))
                .map(|block| {
                    let columns: Vec<_> = block.iter().collect();
                    Ok((block.len(), e.transpose_lanes(&columns, layout.lanes(), tokens)?))
                })
                .collect::<Result<Vec<_>>>()?;
            for query_set in 0..layout.query_sets() {
                let first = (key_set * layout.query_sets() + query_set) * layout.score_ciphertexts();
                let probabilities = &probabilities[first..first + layout.score_ciphertexts()];
                let probabilities = self.paired_factors(e, probabilities, tokens, units[0])?;
                let probabilities: Vec<_> = probabilities.iter().collect();
                let mut columns = Vec::with_capacity(layout.head_dim());
                for (channels, values) in &blocks {
                    let values: Vec<_> = values.iter().collect();
                    columns.extend(e.multiply_lanes(&probabilities, &values, layout.lanes(), *channels)?);
                }
                outputs.extend(self.joined(e, &columns)?);
            }
        }
        Ok(outputs)
    }

    /// Factors that travel in pairs, in the even and odd rows of one ciphertext, in their order; the first `count` of them.
    fn paired_factors<E: LaneProducts>(
        &self,
        e: &E,
        slots: &[E::Slots],
        count: usize,
        unit: f64,
    ) -> Result<Vec<E::Lanes>> {
        let split = e.slots_to_lanes(&slots.iter().collect::<Vec<_>>(), self.layout.lanes(), unit)?;
        let mut factors = Vec::with_capacity(count);
        for pair in split.iter().flatten().take(count / 2) {
            factors.extend(e.split_row_parity(pair)?);
        }
        Ok(factors)
    }

    /// Factors of copied keys or values, one for each channel.
    fn key_factors<E: LaneProducts>(&self, e: &E, copies: &[E::Slots], unit: f64) -> Result<Vec<E::Lanes>> {
        let split = e.slots_to_lanes(&copies.iter().collect::<Vec<_>>(), self.layout.lanes(), unit)?;
        let factor = |channel| {
            let (copy, part) = self.layout.copied_key(channel);
            split[copy][part].clone()
        };
        Ok((0..self.layout.head_dim()).map(factor).collect())
    }

    /// Columns of a product in pairs, as many in one ciphertext as it holds.
    fn joined<E: LaneProducts>(&self, e: &E, columns: &[E::Lanes]) -> Result<Vec<E::Coefficients>> {
        let pairs = (columns.chunks_exact(2))
            .map(|pair| Ok(e.join_row_parity(&pair[0], &pair[1])?))
            .collect::<Result<Vec<_>>>()?;
        let group = |parts: &[E::Lanes]| Ok(e.join_lanes(&parts.iter().collect::<Vec<_>>())?);
        pairs.chunks(self.layout.group()).map(group).collect()
    }
}

fn check_number(operation: &'static str, operand: &'static str, found: usize, required: usize) -> Result<()> {
    if found == required {
        return Ok(());
    }
    Err(refuse(operation, operand, found, required, "use the layouts of this attention"))
}
