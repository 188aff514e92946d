//! Changing the primes: divisions by primes, products with the special modulus, the raise.

use super::checks::Check;
use crate::{Backend, Basis, Domain, Poly, RingError, Shape};

impl<B: Backend> Poly<B> {
    /// `P p` over the primes of `p` and the first `special` special primes, `P` their product: what `mod_down` divides
    /// away again, so that a term can join a sum that has not been divided yet.
    pub fn extend_by_special(&self, backend: &B, special: usize) -> Result<Self, RingError> {
        let check = Check("extend_by_special");
        let shape = self.shape();
        check.domain("the polynomial", shape.domain, Domain::Evaluation)?;
        check.no_special_primes("the polynomial", shape.basis)?;
        let available = backend.primes().special_primes().len();
        check.number(
            "the number of special primes",
            special,
            1..=available,
            "make a chain with more special primes",
        )?;
        let target = shape.extended(special);
        Ok(Self::from_parts(backend.extend(self.operand(), special), target))
    }

    /// Divides by all special primes, and by the highest ciphertext prime too if `rescale`, with centred rounding.
    /// Evaluation domain in and out.
    pub fn mod_down(&self, backend: &B, rescale: bool) -> Result<Self, RingError> {
        let check = Check("mod_down");
        let shape = self.shape();
        check.domain("the polynomial", shape.domain, Domain::Evaluation)?;
        if shape.basis.special_count() == 0 {
            let remedy = "there is nothing to divide by: leave the polynomial as it is, or rescale it";
            return Err(check.primes_unsupported("the polynomial", shape.basis, "at least one special prime", remedy));
        }
        check.ciphertext_primes("the polynomial", shape.basis, 1 + usize::from(rescale))?;
        Ok(Self::from_parts(backend.mod_down(self.operand(), rescale), shape.divided(rescale)))
    }

    /// Divides by the highest ciphertext prime with centred rounding, in the domain of the polynomial; no special
    /// primes. Consumes that prime.
    pub fn rescale(&self, backend: &B) -> Result<Self, RingError> {
        let check = Check("rescale");
        let shape = self.shape();
        check.no_special_primes("the polynomial", shape.basis)?;
        check.ciphertext_primes("the polynomial", shape.basis, 2)?;
        Ok(Self::from_parts(backend.rescale(self.operand()), shape.divided(true)))
    }

    /// Lifts a polynomial without special primes (coefficient domain), centred, to the primes of `basis`; evaluation domain out.
    /// From several primes, a value within `2^-40` of the boundary of the centred range may land on its other side.
    pub fn raise(&self, backend: &B, basis: Basis) -> Result<Self, RingError> {
        let check = Check("raise");
        let shape = self.shape();
        check.domain("the polynomial", shape.domain, Domain::Coefficient)?;
        check.no_special_primes("the polynomial", shape.basis)?;
        let target = Shape::evaluation(shape.ring, basis);
        check.well_formed("the target", target, backend.primes())?;
        Ok(Self::from_parts(backend.raise(self.operand(), target), target))
    }
}
