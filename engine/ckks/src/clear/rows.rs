//! Module rows of [`Clear`]: products with weights.

use fhe_ring::IntegerMatrix;
use rayon::prelude::*;

use super::{Clear, ClearCoefficients, ClearRows, UNIT_TOLERANCE, check_filled, refuse};
use crate::CkksError;

impl Clear {
    /// Rows of ciphertexts at one unit.
    pub(super) fn split_rows(&self, inputs: &[&ClearCoefficients], tokens: usize) -> Result<ClearRows, CkksError> {
        const OPERATION: &str = "module_rows";
        let degree = self.shape.degree;
        if !tokens.is_power_of_two() || tokens > degree {
            let required = format!("a power of two, at most {degree}");
            return Err(refuse(OPERATION, "tokens", tokens, required, "use another block size"));
        }
        let Some(first) = inputs.first() else {
            return Err(refuse(OPERATION, "inputs", "empty", "at least one ciphertext", "leave the operation out"));
        };
        if let Some(other) = inputs.iter().find(|input| (input.unit / first.unit - 1.0).abs() > UNIT_TOLERANCE) {
            let (found, required) = (format!("{:.6e}", other.unit), format!("{:.6e} as on the first", first.unit));
            return Err(refuse(OPERATION, "unit", found, required, "choose one unit before SlotsToCoeffs"));
        }
        let rows = degree / tokens;
        let mut entries = Vec::with_capacity(inputs.len() * degree);
        for input in inputs {
            for row in 0..rows {
                entries.extend((0..tokens).map(|token| input.integers[row + rows * token]));
            }
        }
        self.disturb(self.noise.module_rows, entries.iter_mut());
        self.count(|counts| counts.row_splits += inputs.len() as u64);
        Ok(ClearRows { entries, tokens, unit: first.unit })
    }

    /// A product of rows with integer weights.
    pub(super) fn multiply_rows(
        &self,
        weights: &IntegerMatrix,
        scale: f64,
        rows: &ClearRows,
    ) -> Result<ClearRows, CkksError> {
        const OPERATION: &str = "integer_product";
        self.check_unit(OPERATION, scale)?;
        let shape = weights.shape();
        if shape.columns != rows.rows() {
            let required = format!("{}, the number of rows", rows.rows());
            return Err(refuse(OPERATION, "columns of the weights", shape.columns, required, "pad with zero columns"));
        }
        check_filled(OPERATION, weights)?;
        let mut entries = vec![0.0; shape.rows * rows.tokens];
        entries.par_chunks_mut(rows.tokens).zip(weights.entries().par_chunks(shape.columns)).for_each(
            |(sums, weights)| {
                for (&weight, row) in weights.iter().zip(rows.entries.chunks_exact(rows.tokens)) {
                    if weight != 0 {
                        let weight = f64::from(weight);
                        sums.iter_mut().zip(row).for_each(|(sum, entry)| *sum += weight * entry);
                    }
                }
            },
        );
        self.count(|counts| counts.matrix_weights += shape.words() as u64);
        Ok(ClearRows { entries, tokens: rows.tokens, unit: rows.unit * scale })
    }

    /// Ciphertexts of rows, rounded.
    pub(super) fn join_rows(&self, rows: &ClearRows) -> Result<Vec<ClearCoefficients>, CkksError> {
        let degree = self.shape.degree;
        let per_ciphertext = degree / rows.tokens;
        let pack = |entries: &[f64]| {
            let mut integers = vec![0.0; degree];
            for (row, entries) in entries.chunks_exact(rows.tokens).enumerate() {
                entries.iter().enumerate().for_each(|(token, entry)| integers[row + per_ciphertext * token] = *entry);
            }
            self.disturb(self.noise.pack_rows, integers.iter_mut());
            integers.iter_mut().for_each(|integer| *integer = integer.round());
            self.count(|counts| counts.row_packings += 1);
            self.coefficients("pack_rows", integers, rows.unit)
        };
        rows.entries.chunks(degree).map(pack).collect()
    }
}
