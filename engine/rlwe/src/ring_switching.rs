//! Ring switching to the small ring, in two digits.
//!
//! A key under the small secret has room for `q_0` and one special prime of the same size, so an argument as large as `q_0` leaves
//! `sigma sqrt(N / 12)` in every coefficient, which a matrix product then multiplies by its weights. Cut into two digits of half its bits
//! it leaves no more than the rounding of the division, sixteen times less at `N = 2^16`, for two transforms more.

use fhe_ring::{Backend, Basis, Poly};

use crate::{
    Ciphertext, Halving, KeyId, KeySwitcher, RlweError,
    raising::{LOWEST_SPECIAL, check_lowest},
};

impl<B: Backend> KeySwitcher<B> {
    /// A ciphertext at `q_0` under the small secret, embedded; evaluation domain out.
    pub(crate) fn switch_to_small(&self, input: &Ciphertext<B>) -> Result<Ciphertext<B>, RlweError> {
        check_lowest(input.b())?;
        let digits = self.halves(input.a())?;
        self.switch_lowest_terms(input.b(), digits.into(), KeyId::RingSwitch)
    }

    /// The digits `low` and `high` of a polynomial at `q_0`, evaluation domain: the division that makes the higher one is that by the special
    /// prime, of which the base is made.
    fn halves(&self, poly: &Poly<B>) -> Result<[Poly<B>; 2], RlweError> {
        let backend = self.backend();
        let Halving { shift, base } = self.parameters().halving();
        let lowest = Basis::prefix(1);
        let lifted = poly.duplicate(backend).into_coefficient(backend);
        let mut scaled = lifted.raise(backend, lowest.with_special(LOWEST_SPECIAL))?;
        let mut low = scaled.restrict(backend, lowest)?;
        scaled.scale_integer(backend, 1 << shift);
        let high = scaled.mod_down(backend, false)?;
        let mut product = high.duplicate(backend);
        product.scale_integer(backend, base.into());
        low.subtract_assign(backend, &product)?;
        Ok([low, high])
    }
}
