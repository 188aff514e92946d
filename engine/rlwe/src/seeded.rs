//! Uniform polynomials from public seeds: the half of a key or fresh ciphertext that need not travel.

use fhe_ring::{Backend, Poly, Seed};

use crate::{Ciphertext, RlweError};

/// A ciphertext whose half `a` is the expansion of a public seed, as fresh ones are: half the bytes on the wire.
pub struct SeededCiphertext<B: Backend> {
    ciphertext: Ciphertext<B>,
    seed: Seed,
}

impl<B: Backend> SeededCiphertext<B> {
    /// Joins a ciphertext with the seed that its half `a` was expanded from.
    pub(crate) fn new(ciphertext: Ciphertext<B>, seed: Seed) -> Self {
        Self { ciphertext, seed }
    }

    /// Expands the half `a` to the shape of `b`.
    pub(crate) fn expand(backend: &B, b: Poly<B>, seed: Seed) -> Result<Self, RlweError> {
        let a = Poly::uniform(backend, b.shape(), &seed)?;
        Ok(Self::new(Ciphertext::new(b, a)?, seed))
    }

    /// `b += other`; the seed keeps standing for the other half.
    pub(crate) fn add_to_message_half(&mut self, backend: &B, other: &Poly<B>) -> Result<(), RlweError> {
        let [b, _] = self.ciphertext.halves_mut();
        Ok(b.add_assign(backend, other)?)
    }

    /// The public seed of the half `a`.
    pub(crate) fn seed(&self) -> &Seed {
        &self.seed
    }

    /// The ciphertext.
    pub fn ciphertext(&self) -> &Ciphertext<B> {
        &self.ciphertext
    }

    /// The ciphertext without its seed, ready for operations that change both halves.
    pub fn into_ciphertext(self) -> Ciphertext<B> {
        self.ciphertext
    }
}
