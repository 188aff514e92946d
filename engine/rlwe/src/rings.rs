//! Between the cyclotomic ring (complex slots) and the conjugate-invariant ring of the same degree (real slots).
//!
//! A polynomial of either ring is read in `Z[X]/(X^2N + 1)`, where both live: of the cyclotomic one as `A(X^2) + X B(X^2)` with
//! two of its elements, of the conjugate-invariant one as itself. Each way the secret falls into two parts, so that a
//! conversion is two gadget products of degree `N`, with one division, and no ring of degree `2N` exists anywhere.

use fhe_ring::{Backend, GadgetFactor, GaloisElement, Poly};

use crate::{Ciphertext, Extended, KeyId, KeySwitcher, Parity, Part, RlweError, switching::one_total_each};

impl<B: Backend> KeySwitcher<B> {
    /// From ciphertexts of `A` and `B` in the cyclotomic ring, over ciphertext and special primes, *twice* the trace of
    /// `A(X^2) + X B(X^2)`: under the real secret. Divides by the special modulus and by the last ciphertext prime.
    ///
    /// With `f` the half `a` in this form, `2 Tr(f s) = Tr(f) 2 Re s + Tr(X^N f) 2 Im s`.
    ///
    /// # Errors
    /// [`RlweError::MissingKey`], or a shape that the ring refuses.
    pub fn trace_to_real(&self, batch: &[[Extended<B>; 2]]) -> Result<Vec<Ciphertext<B>>, RlweError> {
        let backend = self.backend();
        let rescaled = |parts: [&Poly<B>; 2], turned| Poly::trace(backend, parts, turned)?.mod_down(backend, true);
        let parts = (batch.iter())
            .map(|[[even_b, even_a], [odd_b, odd_a]]| {
                let terms = [rescaled([even_a, odd_a], false)?, rescaled([even_a, odd_a], true)?];
                let mut b = rescaled([even_b, odd_b], false)?;
                b.scale_integer(backend, 2);
                Ok((b, terms))
            })
            .collect::<Result<Vec<_>, RlweError>>()?;
        let switched = self.switch_parts(parts, Part::BOTH.map(KeyId::ToReal))?;
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
        one_total_each("accumulate_complex", totals.len(), parts.len())?;
        let divided = (parts.into_iter())
            .map(|(b, [even, odd])| Ok((b, [even.mod_down(backend, false)?, odd.mod_down(backend, false)?])))
            .collect::<Result<Vec<_>, RlweError>>()?;
        let ids = Parity::BOTH.map(|parity| KeyId::ToComplex(parity, element));
        for (total, sum) in totals.iter_mut().zip(&self.switch_parts(divided, ids)?) {
            for (total, half) in total.iter_mut().zip(sum) {
                total.automorphism_accumulate(backend, half, element)?;
            }
        }
        Ok(())
    }

    /// Switches both terms and adds them to `b`, which may have special primes or not.
    fn switch_parts(
        &self,
        parts: Vec<(Poly<B>, [Poly<B>; 2])>,
        ids: [KeyId; 2],
    ) -> Result<Vec<Extended<B>>, RlweError> {
        let digits = (parts.iter())
            .map(|(_, [first, second])| Ok([self.decompose(first)?, self.decompose(second)?]))
            .collect::<Result<Vec<_>, RlweError>>()?;
        let batch: Vec<_> = (parts.iter().zip(&digits))
            .map(|((b, _), [digits, _])| GadgetFactor { digits, addends: [Some(b), None] })
            .collect();
        let first = self.products(&batch, ids[0])?;
        let batch: Vec<_> = (first.iter().zip(&digits))
            .map(|([b, a], [_, digits])| GadgetFactor { digits, addends: [Some(b), Some(a)] })
            .collect();
        self.products(&batch, ids[1])
    }
}
