//! Between the cyclotomic and the conjugate-invariant ring of one degree.

use super::checks::Check;
use crate::{Backend, Domain, Poly, Ring, RingError, RingKind, Shape};

impl<B: Backend> Poly<B> {
    /// With `A` and `B` in the cyclotomic ring of degree `N` and `f = A(X^2) + X B(X^2)`: `f(X) + f(1/X)`, an element of the
    /// conjugate-invariant ring of degree `N`, or the same of `X^N f` if `turned`. At the points of that ring `X^N` is the imaginary unit, so
    /// these are twice the real part and minus twice the imaginary part of `f`. Evaluation domain in and out.
    pub fn trace(backend: &B, [even, odd]: [&Self; 2], turned: bool) -> Result<Self, RingError> {
        let check = Check("trace");
        let shape = even.shape();
        check.cyclotomic("the even part", shape.ring)?;
        check.domain("the even part", shape.domain, Domain::Evaluation)?;
        check.same_shape("the odd part", odd.shape(), shape)?;
        let target = Shape { ring: Ring { kind: RingKind::ConjugateInvariant, ..shape.ring }, ..shape };
        Ok(Self::from_parts(backend.trace(even.operand(), odd.operand(), turned), target))
    }

    /// `[A, B]` in the cyclotomic ring with `p = A(X^2) + X B(X^2)`, for `p` in the conjugate-invariant ring of the same degree.
    /// Evaluation domain in and out.
    pub fn parity_split(&self, backend: &B) -> Result<[Self; 2], RingError> {
        let check = Check("parity_split");
        let shape = self.shape();
        check.conjugate_invariant("the polynomial", shape.ring)?;
        check.domain("the polynomial", shape.domain, Domain::Evaluation)?;
        let target = Shape { ring: Ring { kind: RingKind::Cyclotomic, ..shape.ring }, ..shape };
        Ok(backend.parity_split(self.operand()).map(|part| Self::from_parts(part, target)))
    }
}
