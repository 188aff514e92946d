//! Plaintext vectors as polynomials of a backend.

use fhe_ring::{Backend, Basis, Poly, Ring, Shape};
use num_complex::Complex64;

use crate::{CkksError, transforms::embedding::Embedding};

/// Encodes slot vectors and coefficients for one ring degree.
pub(super) struct Encoder {
    ring: Ring,
    embedding: Embedding,
}

impl Encoder {
    pub(super) fn new(log_degree: u32) -> Result<Self, CkksError> {
        Ok(Self { ring: Ring::cyclotomic(log_degree), embedding: Embedding::new(log_degree)? })
    }

    /// Real slots at a scale; evaluation domain. A backend without data costs no transform here.
    pub(super) fn real<B: Backend>(
        &self,
        backend: &B,
        basis: Basis,
        slots: &[f64],
        scale: f64,
    ) -> Result<Poly<B>, CkksError> {
        let required = self.ring.degree() / 2;
        if slots.len() != required {
            return Err(CkksError::Precondition {
                operation: "encode",
                operand: "number of slots",
                found: slots.len().to_string(),
                required: required.to_string(),
                remedy: "give one value per slot, padding with zeros",
            });
        }
        let coefficients = if B::HOLDS_DATA { self.embedding.encode_real(slots, scale)? } else { Vec::new() };
        self.integers(backend, basis, &coefficients)
    }

    /// Complex slots at a scale; evaluation domain.
    pub(super) fn complex<B: Backend>(
        &self,
        backend: &B,
        basis: Basis,
        slots: &[Complex64],
        scale: f64,
    ) -> Result<Poly<B>, CkksError> {
        let coefficients = if B::HOLDS_DATA { self.embedding.encode_complex(slots, scale)? } else { Vec::new() };
        self.integers(backend, basis, &coefficients)
    }

    /// Integer coefficients; evaluation domain.
    pub(super) fn integers<B: Backend>(
        &self,
        backend: &B,
        basis: Basis,
        coefficients: &[i64],
    ) -> Result<Poly<B>, CkksError> {
        Ok(Poly::from_signed(backend, Shape::evaluation(self.ring, basis), coefficients)?)
    }
}
