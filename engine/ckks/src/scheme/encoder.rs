//! Plaintext vectors as polynomials of a backend.

use std::sync::OnceLock;

use fhe_ring::{Backend, Basis, Poly, Ring, Shape};
use num_complex::Complex64;

use crate::{CkksError, Packing, Plaintext, transforms::embedding::Embedding};

/// Encodes slot vectors and coefficients for one ring degree.
pub(super) struct Encoder {
    log_degree: u32,
    embedding: Embedding,
    /// Embeddings of smaller degrees by binary logarithm, made when first needed.
    smaller: Vec<OnceLock<Embedding>>,
}

/// The ring whose slots are packed in this way.
pub(super) fn ring_of(packing: Packing, log_degree: u32) -> Ring {
    match packing {
        Packing::Real => Ring::conjugate_invariant(log_degree),
        Packing::Complex => Ring::cyclotomic(log_degree),
    }
}

impl Encoder {
    pub(super) fn new(log_degree: u32) -> Result<Self, CkksError> {
        let smaller = (0..log_degree).map(|_| OnceLock::new()).collect();
        Ok(Self { log_degree, embedding: Embedding::new(log_degree)?, smaller })
    }

    /// The embedding, to decode with.
    pub(super) fn embedding(&self) -> &Embedding {
        &self.embedding
    }

    /// The embedding of a ring of this or a smaller degree.
    pub(super) fn embedding_of(&self, log_degree: u32) -> Result<&Embedding, CkksError> {
        match self.smaller.get(log_degree as usize) {
            None => Ok(&self.embedding),
            Some(smaller) => {
                if let Some(embedding) = smaller.get() {
                    return Ok(embedding);
                }
                let embedding = Embedding::new(log_degree)?;
                Ok(smaller.get_or_init(|| embedding))
            }
        }
    }

    /// Real numbers in the slots of a packing at a scale; evaluation domain. A backend without data costs no transform here.
    pub(super) fn real<B: Backend>(
        &self,
        backend: &B,
        packing: Packing,
        basis: Basis,
        plain: Plaintext<'_>,
        scale: f64,
    ) -> Result<Poly<B>, CkksError> {
        let required = match packing {
            Packing::Real => 2 * self.embedding.slots(),
            Packing::Complex => self.embedding.slots(),
        };
        if plain.slots() != required {
            return Err(CkksError::Precondition {
                operation: "encode",
                operand: "number of slots",
                found: plain.slots().to_string(),
                required: required.to_string(),
                remedy: "give one value per slot, padding with zeros",
            });
        }
        let coefficients = if B::HOLDS_DATA { plain.encoded(&self.embedding, packing, scale)? } else { Vec::new() };
        self.integers(backend, packing, basis, &coefficients)
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
        self.integers(backend, Packing::Complex, basis, &coefficients)
    }

    /// Integer coefficients of the ring of a packing; evaluation domain.
    pub(super) fn integers<B: Backend>(
        &self,
        backend: &B,
        packing: Packing,
        basis: Basis,
        coefficients: &[i64],
    ) -> Result<Poly<B>, CkksError> {
        let ring = ring_of(packing, self.log_degree);
        Ok(Poly::from_signed(backend, Shape::evaluation(ring, basis), coefficients)?)
    }
}
