//! Uniform polynomials from public seeds: the half of a key or fresh ciphertext that need not be stored.

use fhe_ring::{Backend, Poly, Seed, Shape, uniform_limbs};

use crate::RlweError;

/// The uniform polynomial that a seed stands for; the same for every basis on the primes they share.
pub(crate) fn uniform_poly<B: Backend>(backend: &B, shape: Shape, seed: &Seed) -> Result<Poly<B>, RlweError> {
    let mut outcome = Ok(());
    let poly = Poly::upload(backend, shape, |words| {
        outcome = uniform_limbs(seed, backend.primes(), shape.basis, shape.ring.degree(), words);
    })?;
    outcome?;
    Ok(poly)
}
