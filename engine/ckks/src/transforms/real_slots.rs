//! Slots of the conjugate-invariant ring, through the embedding of the cyclotomic one.
//!
//! With `zeta = exp(i pi / 2N)`, slot `j < N` of an element `m` of the conjugate-invariant ring of degree `N` is the real number
//! `m(zeta^(5^j))`; the second half of the slots lies at the negatives of the points of the first. Writing
//! `m = A(X^2) + X B(X^2)`, with `A` and `B` in the cyclotomic ring of degree `N`, the numbers `z_j = x_j + i x_(j + N/2)` are
//!
//! ```text
//! z = (1 + i) A + H B,   H_j = (1 - i) zeta^(5^j)        and back   A = (1 - i) z,  B = G z,  G_j = (1 + i) zeta^(-5^j),
//! ```
//!
//! in slots of the cyclotomic ring, where the trace of `A(X^2) + X B(X^2)` has the slots `4 x`. (Kim and Song, ICISC 2018, for the
//! ring.)

use std::f64::consts::PI;

use num_complex::Complex64;

use crate::{CkksError, transforms::diagonals::check_length, transforms::embedding::Embedding};

/// Factor of the trace of `A(X^2) + X B(X^2)` over the real slots it was made from.
pub const TRACE_FACTOR: f64 = 4.0;
/// Factor of the conversion of ciphertexts, which takes the trace twice.
pub const CONVERSION_FACTOR: f64 = 2.0 * TRACE_FACTOR;

/// `zeta^(5^j)` for the first half of the slots of degree `degree`.
fn points(degree: usize) -> impl Iterator<Item = Complex64> {
    let order = 4 * degree;
    std::iter::successors(Some(1usize), move |exponent| Some(exponent * 5 % order))
        .take(degree / 2)
        .map(move |exponent| Complex64::cis(PI * exponent as f64 / (2 * degree) as f64))
}

/// The diagonals `1 - i` and `G` that take complex slots to the parts whose trace has their real and imaginary parts.
pub fn trace_factors(degree: usize) -> [Vec<Complex64>; 2] {
    let even = vec![Complex64::new(1.0, -1.0); degree / 2];
    [even, points(degree).map(|point| Complex64::new(1.0, 1.0) * point.conj()).collect()]
}

/// The diagonals `1` and `H` that take the parts `(1 + i) A` and `B` of real slots to complex ones.
pub fn parity_factors(degree: usize) -> [Vec<Complex64>; 2] {
    let even = vec![Complex64::ONE; degree / 2];
    [even, points(degree).map(|point| Complex64::new(1.0, -1.0) * point).collect()]
}

impl Embedding {
    /// The integers nearest to `scale` times the coefficients, in the symmetric basis `1, X^k + X^-k`, of the element of the
    /// conjugate-invariant ring with these `N` real slots.
    ///
    /// # Errors
    /// If the number of slots is not `N`, or an integer would reach `2^62` in magnitude.
    pub fn encode_conjugate_invariant(&self, slots: &[f64], scale: f64) -> Result<Vec<i64>, CkksError> {
        Self::scaled(&self.conjugate_invariant_coefficients(slots)?, scale)
    }

    /// The coefficients, in the symmetric basis, of the element of the conjugate-invariant ring with these `N` real slots.
    pub(super) fn conjugate_invariant_coefficients(&self, slots: &[f64]) -> Result<Vec<f64>, CkksError> {
        let degree = 2 * self.slots();
        check_length("Embedding::encode_conjugate_invariant", "slots", slots.len(), degree)?;
        let (real, imaginary) = slots.split_at(self.slots());
        let slots = || real.iter().zip(imaginary).map(|(&re, &im)| Complex64::new(re, im));
        let even = self.coefficients(slots().map(|z| z * Complex64::new(1.0, -1.0)).collect())?;
        let odd = self.coefficients(slots().zip(self.trace_factors()).map(|(z, factor)| z * factor).collect())?;
        // Coefficients f of A(X^2) + X B(X^2); the trace has f_k - f_(2N-k) at X^k + X^-k, and 2 f_0.
        let coefficient = |k: usize| if k.is_multiple_of(2) { even[k / 2] } else { odd[k / 2] };
        let symmetric = (0..degree).map(|k| match k {
            0 => 2.0 * coefficient(0),
            _ => coefficient(k) - coefficient(2 * degree - k),
        });
        Ok(symmetric.map(|coefficient| coefficient / TRACE_FACTOR).collect())
    }

    /// Slots of the element of the conjugate-invariant ring with these coefficients in the symmetric basis, divided by `scale`.
    ///
    /// # Errors
    /// If the number of coefficients is not `N`.
    pub fn decode_conjugate_invariant(&self, coefficients: &[f64], scale: f64) -> Result<Vec<f64>, CkksError> {
        let degree = 2 * self.slots();
        check_length("Embedding::decode_conjugate_invariant", "coefficients", coefficients.len(), degree)?;
        let coefficient = |k: usize| match k {
            k if k < degree => coefficients[k],
            k if k == degree => 0.0,
            k => -coefficients[2 * degree - k],
        };
        let even: Vec<f64> = (0..degree).map(|i| coefficient(2 * i)).collect();
        let odd: Vec<f64> = (0..degree).map(|i| coefficient(2 * i + 1)).collect();
        let [_, factors] = parity_factors(degree);
        let (even, odd) = (self.decode(&even, scale)?, self.decode(&odd, scale)?);
        let slots: Vec<Complex64> = (even.iter().zip(odd).zip(factors))
            .map(|((a, b), factor)| Complex64::new(1.0, 1.0) * a + factor * b)
            .collect();
        Ok(slots.iter().map(|z| z.re).chain(slots.iter().map(|z| z.im)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEGREE: usize = 16;

    fn embedding() -> Embedding {
        Embedding::new(DEGREE.trailing_zeros()).unwrap()
    }

    #[test]
    fn encoding_and_decoding_are_inverse() {
        let slots: Vec<f64> = (0..DEGREE).map(|j| (j as f64 * 0.7).sin()).collect();
        let scale = 2f64.powi(40);
        let encoded = embedding().encode_conjugate_invariant(&slots, scale).unwrap();
        let encoded: Vec<f64> = encoded.iter().map(|&c| c as f64).collect();
        let decoded = embedding().decode_conjugate_invariant(&encoded, scale).unwrap();
        assert!(slots.iter().zip(decoded).all(|(x, y)| (x - y).abs() < 1e-10));
    }

    #[test]
    fn slots_are_values_at_powers_of_five() {
        let coefficients: Vec<f64> = (0..DEGREE).map(|k| (k * k % 7) as f64 - 3.0).collect();
        let slots = embedding().decode_conjugate_invariant(&coefficients, 1.0).unwrap();
        let mut exponent = 1usize;
        for slot in slots {
            let angle = PI * exponent as f64 / (2 * DEGREE) as f64;
            let terms = coefficients.iter().enumerate().skip(1).map(|(k, c)| 2.0 * c * (k as f64 * angle).cos());
            assert!((slot - coefficients[0] - terms.sum::<f64>()).abs() < 1e-9);
            exponent = exponent * 5 % (4 * DEGREE);
        }
    }

    #[test]
    fn rejects_other_numbers_of_slots() {
        assert!(embedding().encode_conjugate_invariant(&[0.0; 8], 1.0).is_err());
        assert!(embedding().decode_conjugate_invariant(&[0.0; 8], 1.0).is_err());
    }
}
