//! Between the cyclotomic ring (complex slots) and the conjugate-invariant ring of the same degree (real slots).
//!
//! A polynomial of either ring is read in `Z[X]/(X^2N + 1)`, where both live: of the cyclotomic one as `A(X^2) + X B(X^2)` with
//! two of its elements, of the conjugate-invariant one as itself. Each way the secret falls into two parts by parity, so that a
//! conversion is two gadget products of degree `N`, with one division, and no ring of degree `2N` exists anywhere.

use fhe_ring::{Backend, GadgetFactor, GaloisElement, Poly};

use crate::{Ciphertext, Extended, KeyId, KeySwitcher, Parity, RlweError};

impl<B: Backend> KeySwitcher<B> {
    /// From ciphertexts of `A` and `B` in the cyclotomic ring, over ciphertext and special primes, the trace of `A(X^2) + X B(X^2)`: under
    /// the real secret. Divides by the special modulus and by the last ciphertext prime.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or a shape that the ring refuses.
    pub fn trace_to_real(&self, batch: &[[Extended<B>; 2]]) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let backend = self.backend();
        let rescaled = |parts: [&Poly<B>; 2], shift| Poly::trace(backend, parts, shift)?.mod_down(backend, true);
        let parts = (batch.iter())
            .map(|[[even_b, even_a], [odd_b, odd_a]]| {
                let terms = [rescaled([even_a, odd_a], 0)?, rescaled([even_a, odd_a], 1)?];
                Ok((rescaled([even_b, odd_b], 0)?, terms))
            })
            .collect::<Result<Vec<_>, RlweError>>()?;
        let switched = self.switch_parities(parts, Parity::BOTH.map(KeyId::ToReal))?;
        switched.iter().map(|extended| self.mod_down(extended, false)).collect()
    }

    /// From the parts `(b, [a_even, a_odd])` of ciphertexts in the cyclotomic ring whose phase is `b + a_even t_even + a_odd (Y t_odd)`,
    /// with `t` the real secret, over ciphertext and special primes, the image under an automorphism: under the dense secret, added
    /// to a total.
    ///
    /// # Errors
    /// As [`KeySwitcher::trace_to_real`].
    pub fn accumulate_complex(
        &self,
        totals: &mut [Extended<B>],
        parts: Vec<(Poly<B>, [Poly<B>; 2])>,
        element: GaloisElement,
    ) -> Result<(), RlweError> {
        let backend = self.backend();
        let divided = (parts.into_iter())
            .map(|(b, [even, odd])| Ok((b, [even.mod_down(backend, false)?, odd.mod_down(backend, false)?])))
            .collect::<Result<Vec<_>, RlweError>>()?;
        let ids = Parity::BOTH.map(|parity| KeyId::ToComplex(parity, element));
        for (total, sum) in totals.iter_mut().zip(&self.switch_parities(divided, ids)?) {
            for (total, half) in total.iter_mut().zip(sum) {
                total.automorphism_accumulate(backend, half, element)?;
            }
        }
        Ok(())
    }

    /// Switches both terms and adds them to `b`, which may have special primes or not.
    fn switch_parities(
        &self,
        parts: Vec<(Poly<B>, [Poly<B>; 2])>,
        ids: [KeyId; 2],
    ) -> Result<Vec<Extended<B>>, RlweError> {
        let digits = (parts.iter())
            .map(|(_, [even, odd])| Ok([self.decompose(even)?, self.decompose(odd)?]))
            .collect::<Result<Vec<_>, RlweError>>()?;
        let batch: Vec<_> = (parts.iter().zip(&digits))
            .map(|((b, _), [even, _])| GadgetFactor { digits: even, addends: [Some(b), None] })
            .collect();
        let first = self.products(&batch, ids[0])?;
        let batch: Vec<_> = (first.iter().zip(&digits))
            .map(|([b, a], [_, odd])| GadgetFactor { digits: odd, addends: [Some(b), Some(a)] })
            .collect();
        self.products(&batch, ids[1])
    }
}
