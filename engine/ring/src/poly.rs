//! Polynomials as opaque backend buffers with a visible shape.

use std::fmt;

use crate::{Backend, Basis, Operand, Ring};

/// How the words of a polynomial are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// Residues of the coefficients (for the conjugate-invariant ring: of its symmetric basis).
    Coefficient,
    /// Residues of the values at the roots, in the transform's own order; products are point-wise.
    Evaluation,
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Domain::Coefficient => "coefficient domain",
            Domain::Evaluation => "evaluation domain",
        })
    }
}

/// Everything about a polynomial except its words: ring, primes, domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The ring.
    pub ring: Ring,
    /// The primes; one limb of `ring.degree()` words each.
    pub basis: Basis,
    /// Coefficients or values.
    pub domain: Domain,
}

impl Shape {
    /// Shape in the coefficient domain.
    pub const fn coefficient(ring: Ring, basis: Basis) -> Self {
        Self { ring, basis, domain: Domain::Coefficient }
    }

    /// Shape in the evaluation domain.
    pub const fn evaluation(ring: Ring, basis: Basis) -> Self {
        Self { ring, basis, domain: Domain::Evaluation }
    }

    /// Same ring and domain, other primes.
    pub const fn with_basis(self, basis: Basis) -> Self {
        Self { basis, ..self }
    }

    /// Same ring and primes, other domain.
    pub const fn with_domain(self, domain: Domain) -> Self {
        Self { domain, ..self }
    }

    /// The shape of a gadget digit: with the first `special` special primes beside the ciphertext primes.
    pub const fn extended(self, special: usize) -> Self {
        self.with_basis(self.basis.with_special(special))
    }

    /// The shape after a division by the special primes, and by the highest ciphertext prime if `rescale`.
    pub fn divided(self, rescale: bool) -> Self {
        let basis = self.basis.without_special();
        self.with_basis(if rescale { basis.without_last() } else { basis })
    }

    /// Number of 64-bit words.
    pub const fn words(self) -> usize {
        self.basis.len() * self.ring.degree()
    }
}

/// A polynomial held by a backend. Its checked operations are in [`crate::ops`].
pub struct Poly<B: Backend> {
    buffer: B::Buffer,
    shape: Shape,
}

impl<B: Backend> Poly<B> {
    /// Joins a buffer with the shape it was made for.
    pub fn from_parts(buffer: B::Buffer, shape: Shape) -> Self {
        Self { buffer, shape }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The opaque words.
    pub fn buffer(&self) -> &B::Buffer {
        &self.buffer
    }

    /// The opaque words, for a kernel to change in place.
    pub fn buffer_mut(&mut self) -> &mut B::Buffer {
        &mut self.buffer
    }

    /// Records that a kernel changed the meaning of the words (a transform, say).
    pub fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// As a kernel operand.
    pub fn operand(&self) -> Operand<'_, B::Buffer> {
        Operand { buffer: &self.buffer, shape: self.shape }
    }
}
