//! Products of integer weights with one vector.

use fhe_ring::IntegerMatrix;
use rayon::prelude::*;

use super::{Clear, ClearCoefficients, ClearVector, UNIT_TOLERANCE, check_filled, refuse};
use crate::CkksError;

impl Clear {
    /// Small ciphertexts in a large one.
    fn group(&self) -> usize {
        self.shape.degree / self.shape.small_degree
    }

    pub(super) fn split_parts(
        &self,
        inputs: &[&ClearCoefficients],
        block: usize,
        parts: usize,
    ) -> Result<ClearVector, CkksError> {
        const OPERATION: &str = "split_vector";
        let (group, small) = (self.group(), self.shape.small_degree);
        let Some(first) = inputs.first() else {
            return Err(refuse(OPERATION, "inputs", "none", "at least one", "pass the ciphertexts of a vector"));
        };
        if inputs.len() != parts.div_ceil(group) {
            let required = format!("{} for {parts} parts", parts.div_ceil(group));
            return Err(refuse(OPERATION, "number of inputs", inputs.len(), required, "use the layout of the vector"));
        }
        if !block.is_power_of_two() || block > small {
            let required = format!("a power of two up to {small}");
            return Err(refuse(OPERATION, "block", block, required, "spread the vector over more parts"));
        }
        if let Some(other) = inputs.iter().find(|input| (input.unit / first.unit - 1.0).abs() > UNIT_TOLERANCE) {
            let (found, required) = (format!("{:.6e}", other.unit), format!("{:.6e} as on the first", first.unit));
            return Err(refuse(OPERATION, "unit", found, required, "choose one unit before SlotsToCoeffs"));
        }
        let part = |number: usize| -> Vec<f64> {
            inputs[number / group].integers.iter().skip(number % group).step_by(group).copied().collect()
        };
        let mut parts: Vec<Vec<f64>> = (0..parts).map(part).collect();
        self.disturb(self.noise.module_rows, parts.iter_mut().flatten());
        self.count(|counts| counts.vector_splits += inputs.len() as u64);
        Ok(ClearVector { parts, block, unit: first.unit })
    }

    pub(super) fn multiply_vector(
        &self,
        weights: &[IntegerMatrix],
        scale: f64,
        vector: &ClearVector,
    ) -> Result<Vec<ClearCoefficients>, CkksError> {
        const OPERATION: &str = "vector_products";
        if !(scale.is_finite() && scale > 0.0) {
            let remedy = "pass the scale that the weights were quantised at";
            return Err(refuse(OPERATION, "scale", scale, "positive and finite", remedy));
        }
        let (group, small) = (self.group(), self.shape.small_degree);
        let mut joined = vec![vec![0.0; self.shape.degree]; weights.len().div_ceil(group)];
        for (number, weights) in weights.iter().enumerate() {
            let shape = weights.shape();
            if shape.rows == 0 || shape.rows > small {
                let remedy = "multiply by so many rows at a time";
                return Err(refuse(OPERATION, "rows of the weights", shape.rows, format!("1 to {small}"), remedy));
            }
            if shape.columns.div_ceil(vector.block) != vector.parts.len() {
                let required = format!("in {} parts of {}", vector.parts.len(), vector.block);
                return Err(refuse(OPERATION, "columns of the weights", shape.columns, required, "pad with zeros"));
            }
            check_filled(OPERATION, weights)?;
            let results = shape.polynomials(small, vector.block);
            let stride = 1 << (vector.block / results).ilog2();
            let products: Vec<f64> = (0..shape.rows).into_par_iter().map(|row| vector.product(weights, row)).collect();
            for (row, product) in products.into_iter().enumerate() {
                let place = stride * (row % results) + vector.block * (row / results);
                joined[number / group][number % group + group * place] = product;
            }
        }
        self.count(|counts| {
            counts.matrix_weights += weights.iter().map(|weights| weights.shape().words() as u64).sum::<u64>();
            counts.vector_joins += joined.len() as u64;
        });
        let finish = |mut integers: Vec<f64>| {
            self.disturb(self.noise.vector_product * vector.block as f64, integers.iter_mut());
            integers.iter_mut().for_each(|integer| *integer = integer.round());
            self.coefficients(OPERATION, integers, vector.unit * scale)
        };
        joined.into_iter().map(finish).collect()
    }
}

impl ClearVector {
    /// What one row of weights gets. What lies `k` blocks beyond the first meets another row of the same weight polynomial, as it does
    /// encrypted: that `k` places before, or, with the other sign, one that comes round the end.
    fn product(&self, weights: &IntegerMatrix, row: usize) -> f64 {
        let shape = weights.shape();
        let blocks = self.parts.first().map_or(0, |part| part.len() / self.block);
        let results = shape.rows.div_ceil(blocks);
        let (result, i) = (row % results, row / results);
        let mut sum = 0.0;
        for (number, part) in self.parts.iter().enumerate() {
            for (k, entries) in part.chunks_exact(self.block).enumerate() {
                let (other, sign) = if k <= i { (i - k, 1.0) } else { (i + blocks - k, -1.0) };
                let row = result + results * other;
                if row >= shape.rows || entries.iter().all(|&entry| entry == 0.0) {
                    continue;
                }
                let row = &weights.entries()[row * shape.columns..][..shape.columns];
                let products = row[number * self.block..].iter().zip(entries).map(|(&w, x)| f64::from(w) * x);
                sum += sign * products.sum::<f64>();
            }
        }
        sum
    }
}
