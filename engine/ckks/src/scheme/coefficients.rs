//! Coefficient ciphertexts at the lowest modulus, and the matrix products on them.

use fhe_ring::{Backend, Basis, Domain, IntegerMatrix, Poly, Shape};
use fhe_rlwe::Ciphertext;

use super::{CkksServer, CoefficientCiphertext, EncryptedRows};
use crate::CkksError;

type Coefficients<B> = CoefficientCiphertext<B>;

/// Largest relative difference of two units that are meant to be the same.
const UNIT_TOLERANCE: f64 = 1.0 / (1u64 << 30) as f64;

pub(super) fn same_unit(operation: &'static str, found: f64, required: f64) -> Result<(), CkksError> {
    if (found / required - 1.0).abs() <= UNIT_TOLERANCE {
        return Ok(());
    }
    Err(CkksError::Precondition {
        operation,
        operand: "unit",
        found: format!("2^{:.6}", found.log2()),
        required: format!("2^{:.6}", required.log2()),
        remedy: "let both writers aim at one unit",
    })
}

impl<B: Backend> CkksServer<B> {
    pub(super) fn add_lowest(&self, a: &Coefficients<B>, b: &Coefficients<B>) -> Result<Coefficients<B>, CkksError> {
        same_unit("add_coefficients", b.unit, a.unit)?;
        let mut sum = a.ciphertext().duplicate(self.backend());
        for (target, other) in sum.halves_mut().into_iter().zip(b.ciphertext().halves()) {
            target.add_assign(self.backend(), other)?;
        }
        Ok(CoefficientCiphertext::new(sum, a.unit))
    }

    pub(super) fn magnify_lowest(&self, a: &Coefficients<B>, factor: u64) -> Result<Coefficients<B>, CkksError> {
        if factor == 0 {
            return Err(CkksError::Precondition {
                operation: "magnify",
                operand: "factor",
                found: "0".into(),
                required: "a positive integer".into(),
                remedy: "magnify by 1 to leave the ciphertext as it is",
            });
        }
        let mut product = a.ciphertext().duplicate(self.backend());
        product.halves_mut().into_iter().for_each(|half| half.scale_integer(self.backend(), factor.into()));
        Ok(CoefficientCiphertext::new(product, a.unit * factor as f64))
    }

    pub(super) fn split_rows(&self, inputs: &[&Coefficients<B>], tokens: usize) -> Result<EncryptedRows<B>, CkksError> {
        let Some(first) = inputs.first() else {
            return Err(CkksError::Precondition {
                operation: "module_rows",
                operand: "inputs",
                found: "none".into(),
                required: "at least one".into(),
                remedy: "pass the ciphertexts of a tensor",
            });
        };
        for other in inputs {
            same_unit("module_rows", other.unit, first.unit)?;
        }
        self.count(|c| c.row_splits += inputs.len() as u64);
        let ciphertexts: Vec<&Ciphertext<B>> = inputs.iter().map(|x| x.ciphertext()).collect();
        Ok(EncryptedRows { rows: self.switcher.module_rows(&ciphertexts, tokens)?, unit: first.unit })
    }

    pub(super) fn multiply_rows(
        &self,
        weights: &IntegerMatrix,
        scale: f64,
        rows: &EncryptedRows<B>,
    ) -> Result<EncryptedRows<B>, CkksError> {
        self.count(|c| c.matrix_weights += weights.shape().words() as u64);
        Ok(EncryptedRows { rows: rows.rows.integer_product(self.backend(), weights)?, unit: rows.unit * scale })
    }

    pub(super) fn join_rows(&self, rows: &EncryptedRows<B>) -> Result<Vec<Coefficients<B>>, CkksError> {
        let packed = self.switcher.pack_rows(&rows.rows)?;
        self.count(|c| c.row_packings += packed.len() as u64);
        Ok(packed.into_iter().map(|ciphertext| CoefficientCiphertext::new(ciphertext, rows.unit)).collect())
    }

    /// Unit, then the residues of both halves modulo `q_0` in the evaluation domain; empty without data.
    pub(super) fn save_lowest(&self, a: &Coefficients<B>) -> Vec<u8> {
        let mut bytes = a.unit.to_le_bytes().to_vec();
        for half in a.ciphertext().halves() {
            for word in half.download(self.backend()).unwrap_or_default() {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes
    }

    pub(super) fn restore_lowest(&self, bytes: &[u8]) -> Result<Coefficients<B>, CkksError> {
        let shape = Shape { ring: self.parameters.rlwe().ring(), basis: Basis::prefix(1), domain: Domain::Evaluation };
        let required = 8 + if B::HOLDS_DATA { 16 * shape.words() } else { 0 };
        if bytes.len() != required {
            return Err(CkksError::Precondition {
                operation: "restore",
                operand: "length of the saved ciphertext",
                found: bytes.len().to_string(),
                required: required.to_string(),
                remedy: "restore bytes saved under the same parameters",
            });
        }
        let words: Vec<u64> =
            bytes.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap_or_default())).collect();
        let half = |index: usize| {
            Poly::upload(self.backend(), shape, |target| {
                target.copy_from_slice(&words[1 + index * shape.words()..][..shape.words()]);
            })
        };
        Ok(CoefficientCiphertext::new(Ciphertext::new(half(0)?, half(1)?)?, f64::from_bits(words[0])))
    }
}
