//! Products of integer weights with one encrypted vector.

use fhe_ring::{Backend, IntegerMatrix};
use fhe_rlwe::Ciphertext;

use super::{CkksServer, CoefficientCiphertext, EncryptedVector, coefficients::same_unit};
use crate::CkksError;

impl<B: Backend> CkksServer<B> {
    pub(super) fn split_parts(
        &self,
        inputs: &[&CoefficientCiphertext<B>],
        block: usize,
        parts: usize,
    ) -> Result<EncryptedVector<B>, CkksError> {
        let Some(first) = inputs.first() else {
            return Err(CkksError::Precondition {
                operation: "split_vector",
                operand: "inputs",
                found: "none".into(),
                required: "at least one".into(),
                remedy: "pass the ciphertexts of a vector",
            });
        };
        for other in inputs {
            same_unit("split_vector", other.unit, first.unit)?;
        }
        let ciphertexts: Vec<&Ciphertext<B>> = inputs.iter().map(|x| x.ciphertext()).collect();
        let parts = self.switcher.split_vector(&ciphertexts, block, parts)?;
        self.count(|c| c.vector_splits += inputs.len() as u64);
        Ok(EncryptedVector { parts, unit: first.unit })
    }

    pub(super) fn multiply_vector(
        &self,
        weights: &[IntegerMatrix],
        scale: f64,
        vector: &EncryptedVector<B>,
    ) -> Result<Vec<CoefficientCiphertext<B>>, CkksError> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(CkksError::Precondition {
                operation: "vector_products",
                operand: "scale",
                found: scale.to_string(),
                required: "positive and finite".into(),
                remedy: "pass the scale that the weights were quantised at",
            });
        }
        let product = |weights| self.switcher.vector_product(weights, &vector.parts);
        let packed = weights.iter().map(product).collect::<Result<Vec<_>, _>>()?;
        let joined = self.switcher.join_vectors(&packed)?;
        self.count(|c| {
            c.matrix_weights += weights.iter().map(|weights| weights.shape().words() as u64).sum::<u64>();
            c.vector_joins += joined.len() as u64;
        });
        Ok(joined.into_iter().map(|ciphertext| CoefficientCiphertext::new(ciphertext, vector.unit * scale)).collect())
    }
}
