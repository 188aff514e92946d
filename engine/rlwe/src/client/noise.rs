//! Fresh errors of the standard deviation that the security table assumes.

use fhe_ring::{Backend, Poly, Seed, Shape, gaussian};
use zeroize::Zeroizing;

use crate::{RlweError, security::SIGMA};

/// An error polynomial; its coefficients are wiped from the host once they are on the backend.
pub(super) fn error_poly<B: Backend>(backend: &B, shape: Shape, seed: &Seed) -> Result<Poly<B>, RlweError> {
    let drawn = Zeroizing::new(gaussian(&mut seed.rng(), shape.ring.degree(), SIGMA)?);
    let errors: Zeroizing<Vec<i64>> = Zeroizing::new(drawn.iter().map(|&error| error.into()).collect());
    Ok(Poly::from_signed(backend, shape, &errors)?)
}
